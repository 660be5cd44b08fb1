#include "query/read_ahead.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mapping.h"
#include "query/check_stop.h"
#include "query/read_governor.h"

namespace steno {
namespace {

constexpr int64_t kWaitNs = 20 * kNsPerMs;  // between two questions whether the query has to end

// Where the kernel does not tell, it says yes; it does so itself of files that are another user's.
bool IsResident(uint8_t* page) {
  unsigned char resident = 1;
  return ::mincore(page, 1, &resident) != 0 || (resident & 1) != 0;
}

// Whether the middle and the end of the unit are in the page cache: its beginning may have been read for the
// block's header alone.
bool IsCached(const PacketFile& file, const ReadUnit& unit) {
  const uint64_t bytes = unit.read_end - unit.read_begin;
  void* const at =
      ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.fd(), static_cast<off_t>(unit.read_begin));
  if (at == MAP_FAILED) return true;
  const Mapping mapping = Mapping::Adopt(at, bytes);
  const auto page_of = [&](uint64_t byte) { return mapping.data() + byte / kDiskAlignment * kDiskAlignment; };
  return IsResident(page_of(bytes / 2)) && IsResident(page_of(bytes - 1));
}

}  // namespace

ReadAhead::ReadAhead(const QueryOptions& options, BufferPool& pool, QueryStats& stats)
    : options_(options), pool_(pool), stats_(stats), held_(options.memory) {}

bool ReadAhead::Begin(PacketFile& file, const ReadUnit& unit) {
  if (refused_ || !IsWorthIt(file, unit)) return false;
  const uint64_t bytes = AlignUp(unit.read_end - unit.read_begin, kDiskAlignment);
  Slot* const slot = Find(nullptr, 0);
  if (slot == nullptr || !HasRoom(bytes)) {
    ++stats_.direct_reads_without_room;
    return false;
  }
  const int fd = file.DirectFd();
  if (fd < 0 || !SetUpRing()) {
    ++stats_.direct_reads_refused;
    return false;
  }
  if (options_.governor != nullptr && !options_.governor->BookIfFree(bytes)) return false;
  slot->file = &file;
  slot->offset = unit.read_begin;
  slot->result = kUnderWay;
  slot->buffer = pool_.Take(bytes);
  held_.Take(slot->buffer.capacity());
  ring_->Prepare(fd, {slot->buffer.data(), bytes}, slot->offset, static_cast<uint64_t>(slot - slots_.data()));
  return true;
}

bool ReadAhead::IsWorthIt(const PacketFile& file, const ReadUnit& unit) {
  const bool whole = unit.from_block_start() && unit.read_end == unit.block_end;
  if (!whole || unit.read_begin % kDiskAlignment != 0 || unit.read_end < unit.read_begin + kMinBytes ||
      unit.read_end > unit.read_begin + kMaxBlockBytes)
    return false;
  if (cached_bytes_ < options_.cached_bytes) {
    cached_bytes_ += unit.read_end - unit.read_begin;
    return false;
  }
  return !IsCached(file, unit);
}

bool ReadAhead::HasRoom(uint64_t bytes) const {
  return held_.bytes() + bytes <= kMaxBytes &&
         (options_.memory == nullptr || options_.memory->HasPlentyFor(bytes));
}

bool ReadAhead::SetUpRing() {
  if (ring_) return true;
  Result<std::unique_ptr<ReadRing>> made = ReadRing::Make(kSlots);
  if (made) ring_ = std::move(*made);
  refused_ = !ring_;
  return !refused_;
}

ReadAhead::Slot* ReadAhead::Find(const PacketFile* file, uint64_t offset) {
  const auto found = std::ranges::find_if(
      slots_, [&](const Slot& slot) { return slot.file == file && slot.offset == offset; });
  return found == slots_.end() ? nullptr : &*found;
}

void ReadAhead::Start() {
  if (ring_) ring_->Start();
}

Result<std::optional<Buffer>> ReadAhead::Take(const PacketFile& file, const ReadUnit& unit) {
  Slot* const slot = Find(&file, unit.read_begin);
  if (slot == nullptr) return std::nullopt;
  while (slot->result == kUnderWay) {
    STENO_CHECK_OK(CheckStop(options_));
    ring_->Wait(kWaitNs, [this](uint64_t at, int result) { slots_[at].result = result; });
  }
  const int64_t got = slot->result;
  const auto wanted = static_cast<int64_t>(unit.read_end - unit.read_begin);
  Buffer buffer = Release(*slot);
  if (got >= wanted) {
    stats_.bytes_read_direct += static_cast<uint64_t>(wanted);
    return std::optional<Buffer>(std::move(buffer));
  }
  pool_.Give(std::move(buffer));
  // An error is the disk's, or that of a file system that takes no direct reads after all; otherwise the file
  // is shorter than it was.
  if (got < 0) {
    refused_ = true;
    ++stats_.direct_reads_refused;
  }
  return std::nullopt;
}

Buffer ReadAhead::Release(Slot& slot) {
  held_.Release(slot.buffer.capacity());
  slot.file = nullptr;
  slot.offset = 0;
  return std::exchange(slot.buffer, {});
}

}  // namespace steno
