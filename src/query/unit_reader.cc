#include "query/unit_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/pacer.h"
#include "packet/decode.h"
#include "query/read_governor.h"

namespace steno {
namespace {

constexpr size_t kMaxFreeViews =
    16 * 1024;  // a MiB of them: a block of the smallest packets has half as many
constexpr uint64_t kPacketsPerCheck = 1024;

// Where the packets start in `bytes`, which begin with the block's kernel header; 0 if the header makes no
// sense.
size_t FirstPacketIn(std::span<const uint8_t> bytes) {
  KernelBlockHeader header;
  if (bytes.size() < sizeof header) return 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const bool sound =
      header.first_packet_offset >= kKernelHeaderBytes && header.first_packet_offset <= bytes.size();
  return sound ? header.first_packet_offset : 0;
}

size_t FrameBytes(const PacketRun& run) {
  size_t bytes = 0;
  for (const PacketView& packet : run.packets) bytes += packet.frame.size();
  return bytes;
}

bool ByTime(const PacketView& a, const PacketView& b) { return a.time_ns < b.time_ns; }

}  // namespace

Status WaitToRead(uint64_t bytes, const QueryOptions& options) {
  if (options.governor == nullptr) return {};
  const int64_t due = options.governor->Book(bytes, MonotonicNs());
  Status stopped;
  SleepUntil(due, [&] { return (stopped = CheckStop(options)).has_value(); });
  return stopped;
}

void UnitReader::Announce(PacketFile& file, std::span<const ReadUnit> units) {
  for (const ReadUnit& unit : units) {
    if (!ahead_.Begin(file, unit)) steno::Announce(file, unit);
  }
  ahead_.Start();
}

Status UnitReader::Read(const PacketFile& file, const ReadUnit& unit, PacketRun& run, std::string& damage) {
  STENO_CHECK_OK(ReadOnce(file, unit, run, damage));
  if (!damage.empty() && !unit.from_block_start()) {
    // Perhaps it is the index that is wrong about where packets start: the chain from the block's start is
    // not.
    ReadUnit whole = unit;
    whole.read_begin = unit.block_begin;
    whole.read_end = unit.block_end;
    Recycle(run);
    damage.clear();
    STENO_CHECK_OK(ReadOnce(file, whole, run, damage));
  }
  FitViews(run);
  if (!std::ranges::is_sorted(run.packets, ByTime)) std::ranges::stable_sort(run.packets, ByTime);
  // A few packets must not hold the memory of all the packets around them while they wait for their turn.
  if (FrameBytes(run) <= run.buffer.capacity() / 4) Shrink(run);
  return {};
}

// Gives the run a list of about its own size, and keeps the one that it was made in for the next.
void UnitReader::FitViews(PacketRun& run) {
  if (run.packets.size() >= run.packets.capacity() / 4) return;
  std::vector<PacketView> fitting(run.packets.begin(), run.packets.end());
  KeepViews(std::exchange(run.packets, std::move(fitting)));
}

void UnitReader::KeepViews(std::vector<PacketView> views) {
  if (views.capacity() <= views_.capacity() || views.capacity() > kMaxFreeViews) return;
  views.clear();
  views_ = std::move(views);
}

Status UnitReader::ReadOnce(const PacketFile& file, const ReadUnit& unit, PacketRun& run,
                            std::string& damage) {
  // Of a live file, what stenotype says about it; nobody else checked it.
  if (unit.read_begin > unit.read_end || unit.read_end - unit.read_begin > kMaxBlockBytes) {
    damage = fmt::format("{}: impossible piece of the block at byte {}", file.path(), unit.block_begin);
    return {};
  }
  size_t got = 0;
  STENO_CHECK_OK(Fetch(file, unit, run, got, damage));
  const std::span<const uint8_t> bytes(run.buffer.data(), got);
  const size_t first = unit.from_block_start() ? FirstPacketIn(bytes) : 0;
  if (unit.from_block_start() && first == 0) {
    if (damage.empty()) damage = fmt::format("{}: no block header at byte {}", file.path(), unit.block_begin);
    return {};
  }
  run.packets = std::exchange(views_, {});
  PacketWalk walk(bytes, first, std::min<size_t>(unit.starts_end - unit.read_begin, bytes.size()),
                  unit.read_begin);
  STENO_CHECK_OK(Filter(walk, unit, run));
  if (!walk.status() && damage.empty()) damage = file.path() + ": " + walk.status().error().message;
  return {};
}

// Fills the run's buffer with the unit's bytes, of which there are `got`.
Status UnitReader::Fetch(const PacketFile& file, const ReadUnit& unit, PacketRun& run, size_t& got,
                         std::string& damage) {
  const size_t wanted = unit.read_end - unit.read_begin;
  STENO_TRY(std::optional<Buffer> ready, ahead_.Take(file, unit));
  if (ready) {
    run.buffer = std::move(*ready);
    stats_.bytes_read += got = wanted;
    return {};
  }
  STENO_CHECK_OK(WaitToRead(wanted, options_));
  run.buffer = pool_.Take(wanted);
  const Result<size_t> read = ReadSome(file.fd(), {run.buffer.data(), wanted}, unit.read_begin, file.path());
  if (!read) {
    damage = read.error().message;
    return {};
  }
  stats_.bytes_read += got = *read;
  if (got == wanted) return {};
  const Status whole = file.CheckWhole();
  damage =
      whole ? fmt::format("{}: ends at byte {}", file.path(), unit.read_begin + got) : whole.error().message;
  return {};
}

Status UnitReader::Filter(PacketWalk& walk, const ReadUnit& unit, PacketRun& run) {
  while (const PacketView* packet = walk.Next()) {
    if (packet->file_offset < unit.starts_begin) continue;
    if (++stats_.packets_read % kPacketsPerCheck == 0) STENO_CHECK_OK(CheckStop(options_));
    if (!request_.bounds.Contains(packet->time_ns)) continue;
    if (!request_.time_only) Decode(packet->frame, packet->tag, headers_);
    if (Matches(*request_.expression, headers_, *packet)) run.packets.push_back(*packet);
  }
  return {};
}

void UnitReader::Shrink(PacketRun& run) {
  const size_t kept = FrameBytes(run);
  Buffer small(kept);
  size_t at = 0;
  for (PacketView& packet : run.packets) {
    std::ranges::copy(packet.frame, small.data() + at);
    packet.frame = {small.data() + at, packet.frame.size()};
    at += packet.frame.size();
  }
  pool_.Give(std::exchange(run.buffer, std::move(small)));
}

void UnitReader::Recycle(PacketRun& run) {
  pool_.Give(std::exchange(run.buffer, {}));
  KeepViews(std::exchange(run.packets, {}));
  run.next = 0;
}

}  // namespace steno
