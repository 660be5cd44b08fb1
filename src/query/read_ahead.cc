#include "query/read_ahead.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
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

ReadAhead::~ReadAhead() {
  if (!ready_) return;
  while (under_way_ > io_uring_sq_ready(&ring_)) WaitForCompletion();
  io_uring_queue_exit(&ring_);
}

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
  Prepare(*slot, fd, bytes);
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
  for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0u}) {
    if (ready_ || refused_) break;
    const int error = io_uring_queue_init(kSlots, &ring_, flags);
    ready_ = error == 0;
    refused_ = !ready_ && (error != -EINVAL || flags == 0);  // EINVAL: a kernel before 6.1 lacks the flags
  }
  return ready_;
}

ReadAhead::Slot* ReadAhead::Find(const PacketFile* file, uint64_t offset) {
  const auto found = std::ranges::find_if(
      slots_, [&](const Slot& slot) { return slot.file == file && slot.offset == offset; });
  return found == slots_.end() ? nullptr : &*found;
}

void ReadAhead::Prepare(Slot& slot, int fd, uint64_t bytes) {
  slot.buffer = pool_.Take(bytes);
  slot.result = kUnderWay;
  held_.Take(slot.buffer.capacity());
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);  // never null: there are as many as slots
  io_uring_prep_read(sqe, fd, slot.buffer.data(), static_cast<unsigned>(bytes), slot.offset);
  io_uring_sqe_set_data64(sqe, static_cast<uint64_t>(&slot - slots_.data()));
  ++under_way_;
}

void ReadAhead::Start() {
  // What the kernel is too short of memory to take now stays prepared, and is offered again by the next wait.
  if (ready_ && io_uring_sq_ready(&ring_) > 0) io_uring_submit(&ring_);
}

Result<std::optional<Buffer>> ReadAhead::Take(const PacketFile& file, const ReadUnit& unit) {
  Slot* const slot = Find(&file, unit.read_begin);
  if (slot == nullptr) return std::nullopt;
  while (slot->result == kUnderWay) {
    STENO_CHECK_OK(CheckStop(options_));
    WaitForCompletion();
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

void ReadAhead::WaitForCompletion() {
  __kernel_timespec most{.tv_sec = 0, .tv_nsec = kWaitNs};
  io_uring_cqe* cqe = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &most, nullptr);
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    const uint64_t at = io_uring_cqe_get_data64(cqe);
    if (at >= kSlots) continue;  // the timeout itself, on kernels before 5.11
    slots_[at].result = cqe->res;
    --under_way_;
  }
  io_uring_cq_advance(&ring_, seen);
}

}  // namespace steno
