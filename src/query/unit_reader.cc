#include "query/unit_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/pacer.h"
#include "packet/decode.h"
#include "query/read_governor.h"

namespace steno {
namespace {

constexpr size_t kMaxFreeBuffers = 16;
// A merge in the order of times needs a block of each thread at a time; every query may keep so much.
constexpr size_t kMaxFreeBytes = 2 << 20;
constexpr size_t kMinBufferBytes = 32 * 1024;
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

Status CheckStop(const QueryOptions& options) {
  if (options.stop.stop_requested()) {
    return Fail({.code = ErrorCode::kCancelled, .message = "the query was cancelled"});
  }
  if (options.deadline_ns != INT64_MAX && MonotonicNs() >= options.deadline_ns) {
    return Fail({.code = ErrorCode::kDeadline, .message = "the query took longer than it may"});
  }
  return {};
}

Status WaitToRead(uint64_t bytes, const QueryOptions& options) {
  if (options.governor == nullptr) return {};
  const int64_t due = options.governor->Book(bytes, MonotonicNs());
  Status stopped;
  SleepUntil(due, [&] { return (stopped = CheckStop(options)).has_value(); });
  return stopped;
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
  if (!std::ranges::is_sorted(run.packets, ByTime)) std::ranges::stable_sort(run.packets, ByTime);
  // A few packets must not hold the memory of all the packets around them while they wait for their turn.
  if (FrameBytes(run) <= run.buffer.capacity / 4) Shrink(run);
  return {};
}

Status UnitReader::ReadOnce(const PacketFile& file, const ReadUnit& unit, PacketRun& run,
                            std::string& damage) {
  // Of a live file, what stenotype says about it; nobody else checked it.
  if (unit.read_begin > unit.read_end || unit.read_end - unit.read_begin > kMaxBlockBytes) {
    damage = fmt::format("{}: impossible piece of the block at byte {}", file.path(), unit.block_begin);
    return {};
  }
  const size_t wanted = unit.read_end - unit.read_begin;
  STENO_CHECK_OK(WaitToRead(wanted, options_));
  run.buffer = TakeBuffer(wanted);
  const Result<size_t> got =
      ReadSome(file.fd(), {run.buffer.data.get(), wanted}, unit.read_begin, file.path());
  if (!got) {
    damage = got.error().message;
    return {};
  }
  stats_.bytes_read += *got;
  if (*got < wanted) {
    const Status whole = file.CheckWhole();
    damage = whole ? fmt::format("{}: ends at byte {}", file.path(), unit.read_begin + *got)
                   : whole.error().message;
  }
  const std::span<const uint8_t> bytes(run.buffer.data.get(), *got);
  const size_t first = unit.from_block_start() ? FirstPacketIn(bytes) : 0;
  if (unit.from_block_start() && first == 0) {
    if (damage.empty()) damage = fmt::format("{}: no block header at byte {}", file.path(), unit.block_begin);
    return {};
  }
  PacketWalk walk(bytes, first, std::min<size_t>(unit.starts_end - unit.read_begin, bytes.size()),
                  unit.read_begin);
  STENO_CHECK_OK(Filter(walk, unit, run));
  if (!walk.status() && damage.empty()) damage = file.path() + ": " + walk.status().error().message;
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
  Buffer small{std::make_unique_for_overwrite<uint8_t[]>(kept), kept};
  size_t at = 0;
  for (PacketView& packet : run.packets) {
    std::ranges::copy(packet.frame, small.data.get() + at);
    packet.frame = {small.data.get() + at, packet.frame.size()};
    at += packet.frame.size();
  }
  GiveBuffer(std::exchange(run.buffer, std::move(small)));
}

void UnitReader::Recycle(PacketRun& run) {
  GiveBuffer(std::exchange(run.buffer, {}));
  run.packets.clear();
  run.next = 0;
}

Buffer UnitReader::TakeBuffer(size_t bytes) {
  const size_t capacity = std::bit_ceil(std::max(bytes, kMinBufferBytes));
  const auto fits = std::ranges::find(free_, capacity, &Buffer::capacity);
  if (fits == free_.end()) return {std::make_unique_for_overwrite<uint8_t[]>(capacity), capacity};
  Buffer buffer = std::exchange(*fits, std::move(free_.back()));
  free_.pop_back();
  return buffer;
}

void UnitReader::GiveBuffer(Buffer buffer) {
  if (buffer.capacity < kMinBufferBytes || free_.size() >= kMaxFreeBuffers) return;
  size_t kept = buffer.capacity;
  for (const Buffer& other : free_) kept += other.capacity;
  if (kept > kMaxFreeBytes) return;
  free_.push_back(std::move(buffer));
}

}  // namespace steno
