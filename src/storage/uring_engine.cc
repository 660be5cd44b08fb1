// io_uring through liburing 2.3. The ring is made disabled (IORING_SETUP_R_DISABLED) and enabled by the first
// write: with SINGLE_ISSUER it then belongs to the capture thread, wherever it was made. Rings are enabled
// and restricted by the io_uring_register() system call, as the shared library of this version does not
// export the wrappers.
//
// Files are written through the ring's own table (fixed files): that saves the kernel looking up and
// releasing the descriptor at each write, and lets the restrictions demand that nothing else is written. An
// entry holds its file open, with its locks, until it is released.
#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "storage/engines.h"
#include "storage/write_slots.h"

namespace steno {
namespace {

constexpr size_t kMaxRegionBytes = size_t{1} << 30;  // of one registered buffer (io_uring_register(2))
constexpr size_t kMaxRegions = 16384;
constexpr unsigned kMaxWorkers = 8;
constexpr int64_t kDrainNs = 30 * kNsPerSecond;

class UringEngine final : public IoEngine {
 public:
  explicit UringEngine(unsigned queue_depth) : slots_(queue_depth), cqes_(queue_depth) { files_.fill(-1); }
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;
  ~UringEngine() override;

  Status Init();

  [[nodiscard]] std::string_view name() const override { return "io_uring"; }
  [[nodiscard]] int event_fd() const override { return event_fd_.get(); }
  void RegisterMemory(std::span<const iovec> regions) override;
  Status SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) override;
  void BeginBatch() override { batching_ = true; }
  void EndBatch() override;
  void ReleaseFile(int fd) override;
  size_t Reap(std::span<WriteCompletion> out) override;
  [[nodiscard]] unsigned in_flight() const override { return slots_.in_use(); }

 private:
  Status SetUp();
  Status Enable();
  int SetFile(size_t entry, int fd);
  [[nodiscard]] size_t FindFile(int fd) const;
  void Queue(unsigned index);
  void Flush();
  [[nodiscard]] bool HasDeferred() const;
  [[nodiscard]] int BufferIndex(const uint8_t* data, size_t bytes) const;

  io_uring ring_{};
  bool ready_ = false;    // ring_ is set up
  bool enabled_ = false;  // ... and accepts writes
  bool batching_ = false;
  UniqueFd event_fd_;
  WriteSlots slots_;
  std::array<int, kEngineFiles> files_;  // the ring's file table; -1: unused
  std::vector<iovec> regions_;           // registered, ascending by address
  std::vector<io_uring_cqe*> cqes_;
};

UringEngine::~UringEngine() {
  // The memory of the writes may be reused as soon as this returns.
  const int64_t deadline = MonotonicNs() + kDrainNs;
  std::array<WriteCompletion, 16> ignored;
  while (in_flight() > 0 && MonotonicNs() < deadline) {
    if (Reap(ignored) > 0) continue;
    pollfd wait{event_fd_.get(), POLLIN, 0};
    ::poll(&wait, 1, 10);
  }
  if (ready_) io_uring_queue_exit(&ring_);
}

Status UringEngine::Init() {
  STENO_TRY(const int event_fd, MakeEventFd());
  event_fd_.reset(event_fd);
  STENO_CHECK_OK(SetUp());
  if (const int error = io_uring_register_eventfd(&ring_, event_fd_.get()); error < 0) {
    return Fail(Error::System("io_uring_register eventfd", -error));
  }
  // Only writes that would block go to kernel worker threads; a limit that cannot be set is no reason to
  // fail.
  std::array<unsigned, 2> workers{kMaxWorkers, kMaxWorkers};
  io_uring_register_iowq_max_workers(&ring_, workers.data());
  if (const int error = io_uring_register_files(&ring_, files_.data(), kEngineFiles); error < 0) {
    return Fail(Error::System("io_uring_register files", -error));
  }
  // A second line of defence behind the sandbox: kernels that lack it still record.
  static_cast<void>(RestrictRing(ring_.ring_fd));
  return {};
}

Status UringEngine::SetUp() {
  // TASKRUN_FLAG lets Reap() see without a system call whether completions wait.
  constexpr unsigned kBest =
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  int error = 0;
  for (const unsigned flags : {kBest, 0u}) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP;
    error = io_uring_queue_init_params(slots_.size(), &ring_, &params);
    if (error == 0) {
      ready_ = true;
      return {};
    }
    if (error != -EINVAL) break;  // EINVAL: a kernel before 6.1 does not know the flags
  }
  return Fail(Error::System("io_uring_setup", -error));
}

Status UringEngine::Enable() {
  const int error =
      io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (error < 0) return Fail(Error::System("io_uring_register enable rings", -error));
  enabled_ = true;
  return {};
}

void UringEngine::RegisterMemory(std::span<const iovec> regions) {
  std::vector<iovec> chunks;
  for (const iovec& region : regions) {
    for (size_t at = 0; at < region.iov_len; at += kMaxRegionBytes) {
      chunks.push_back(
          {static_cast<uint8_t*>(region.iov_base) + at, std::min(kMaxRegionBytes, region.iov_len - at)});
    }
  }
  std::sort(chunks.begin(), chunks.end(),
            [](const iovec& a, const iovec& b) { return a.iov_base < b.iov_base; });
  if (!regions_.empty()) io_uring_unregister_buffers(&ring_);
  regions_.clear();
  if (chunks.empty() || chunks.size() > kMaxRegions) return;
  // Refused (RLIMIT_MEMLOCK, memory that cannot be pinned): plain writes do the same for a little more CPU.
  if (io_uring_register_buffers(&ring_, chunks.data(), static_cast<unsigned>(chunks.size())) == 0) {
    regions_ = std::move(chunks);
  }
}

int UringEngine::BufferIndex(const uint8_t* data, size_t bytes) const {
  const auto after =
      std::upper_bound(regions_.begin(), regions_.end(), data,
                       [](const uint8_t* at, const iovec& region) { return at < region.iov_base; });
  if (after == regions_.begin()) return -1;
  const iovec& region = *(after - 1);
  const auto start = static_cast<size_t>(data - static_cast<const uint8_t*>(region.iov_base));
  if (start > region.iov_len || bytes > region.iov_len - start) return -1;
  return static_cast<int>(after - 1 - regions_.begin());
}

// 0, or the errno of why not. -1 empties the entry.
int UringEngine::SetFile(size_t entry, int fd) {
  const int set = io_uring_register_files_update(&ring_, static_cast<unsigned>(entry), &fd, 1);
  if (set < 0) return -set;
  files_[entry] = fd;
  return 0;
}

size_t UringEngine::FindFile(int fd) const {
  return static_cast<size_t>(std::find(files_.begin(), files_.end(), fd) - files_.begin());
}

Status UringEngine::SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) {
  if (slots_.full()) return QueueFull(slots_.size());
  if (!enabled_) STENO_CHECK_OK(Enable());
  int error = fd < 0 ? EBADF : 0;
  if (error == 0 && FindFile(fd) == files_.size()) {
    const size_t unused = FindFile(-1);
    if (unused == files_.size()) {
      return Fail(Error::Exhausted(fmt::format("{} files are in use", files_.size())));
    }
    error = SetFile(unused, fd);
  }
  const unsigned index = slots_.Take(fd, bytes, offset, token);
  if (error != 0) {
    slots_.Refuse(index, error);
    SignalEventFd(event_fd_.get());
    return {};
  }
  Queue(index);
  if (!batching_) Flush();
  return {};
}

void UringEngine::EndBatch() {
  batching_ = false;
  if (enabled_ && io_uring_sq_ready(&ring_) > 0) Flush();
}

void UringEngine::ReleaseFile(int fd) {
  const size_t entry = FindFile(fd);
  if (fd >= 0 && entry != files_.size()) SetFile(entry, -1);
}

void UringEngine::Queue(unsigned index) {
  const WriteSlot& slot = slots_[index];
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);  // never null: there are as many as slots
  const auto bytes = static_cast<unsigned>(slot.rest_bytes());
  const auto file = static_cast<int>(FindFile(slot.fd));
  const int buffer = BufferIndex(slot.rest(), slot.rest_bytes());
  if (buffer >= 0) {
    io_uring_prep_write_fixed(sqe, file, slot.rest(), bytes, slot.rest_offset(), buffer);
  } else {
    io_uring_prep_write(sqe, file, slot.rest(), bytes, slot.rest_offset());
  }
  io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
  io_uring_sqe_set_data64(sqe, index);
}

void UringEngine::Flush() {
  const int submitted = io_uring_submit(&ring_);
  // The kernel is short of memory or busy: what is queued stays queued, and the owner is called to try again.
  if (submitted < 0 || io_uring_sq_ready(&ring_) > 0) SignalEventFd(event_fd_.get());
}

// Deferred completions wait for the next call of the kernel (IORING_SETUP_TASKRUN_FLAG).
bool UringEngine::HasDeferred() const {
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

size_t UringEngine::Reap(std::span<WriteCompletion> out) {
  DrainEventFd(event_fd_.get());
  if (!enabled_ || out.empty()) return 0;
  size_t count = slots_.FinishRefused(out);
  bool queued = io_uring_sq_ready(&ring_) > 0;
  const auto room = static_cast<unsigned>(std::min(out.size() - count, cqes_.size()));
  const unsigned ready = io_uring_peek_batch_cqe(&ring_, cqes_.data(), room);
  for (unsigned i = 0; i < ready; ++i) {
    const auto index = static_cast<unsigned>(io_uring_cqe_get_data64(cqes_[i]));
    int64_t result = 0;
    if (AdvanceWrite(slots_[index], cqes_[i]->res, result) == WriteStep::kFinished) {
      out[count++] = slots_.Finish(index, result);
    } else {
      Queue(index);
      queued = true;
    }
  }
  io_uring_cq_advance(&ring_, ready);
  if (queued) Flush();
  // There may be more, and a repeated part does not count as a completion. Completions that the kernel holds
  // back for this thread (IORING_SETUP_DEFER_TASKRUN) were announced by one signal for all of them.
  if (ready == room || HasDeferred()) SignalEventFd(event_fd_.get());
  return count;
}

io_uring_restriction OnlyOp(io_uring_op op) {
  io_uring_restriction rule{};
  rule.opcode = IORING_RESTRICTION_SQE_OP;
  rule.sqe_op = static_cast<uint8_t>(op);
  return rule;
}

io_uring_restriction OnlyRegistering(unsigned what) {
  io_uring_restriction rule{};
  rule.opcode = IORING_RESTRICTION_REGISTER_OP;
  rule.register_op = static_cast<uint8_t>(what);
  return rule;
}

}  // namespace

Status RestrictRing(int ring_fd) {
  io_uring_restriction only_own_files{};
  only_own_files.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
  only_own_files.sqe_flags = IOSQE_FIXED_FILE;
  std::array<io_uring_restriction, 6> rules{only_own_files,
                                            OnlyOp(IORING_OP_WRITE),
                                            OnlyOp(IORING_OP_WRITE_FIXED),
                                            OnlyRegistering(IORING_REGISTER_FILES_UPDATE),
                                            OnlyRegistering(IORING_REGISTER_BUFFERS),
                                            OnlyRegistering(IORING_UNREGISTER_BUFFERS)};
  const int error = io_uring_register(static_cast<unsigned>(ring_fd), IORING_REGISTER_RESTRICTIONS,
                                      rules.data(), static_cast<unsigned>(rules.size()));
  if (error < 0) return Fail(Error::System("io_uring_register restrictions", -error));
  return {};
}

Result<std::unique_ptr<IoEngine>> MakeUringEngine(unsigned queue_depth) {
  auto engine = std::make_unique<UringEngine>(queue_depth);
  STENO_CHECK_OK(engine->Init());
  return std::unique_ptr<IoEngine>(std::move(engine));
}

}  // namespace steno
