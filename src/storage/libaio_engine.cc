// Linux native AIO through its system calls (io_setup(2), io_submit(2), io_getevents(2); <linux/aio_abi.h>).
// Container runtimes that refuse io_uring let these pass.
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <vector>

#include "base/unique_fd.h"
#include "storage/engines.h"
#include "storage/write_slots.h"

namespace steno {
namespace {

constexpr size_t kReapBatch = 32;

class LibaioEngine final : public IoEngine {
 public:
  explicit LibaioEngine(unsigned queue_depth) : slots_(queue_depth), requests_(queue_depth) {
    postponed_.reserve(queue_depth);
  }
  LibaioEngine(const LibaioEngine&) = delete;
  LibaioEngine& operator=(const LibaioEngine&) = delete;
  // io_destroy() waits for what is in flight.
  ~LibaioEngine() override {
    if (context_ != 0) ::syscall(SYS_io_destroy, context_);
  }

  Status Init();

  [[nodiscard]] std::string_view name() const override { return "libaio"; }
  [[nodiscard]] int event_fd() const override { return event_fd_.get(); }
  void RegisterMemory(std::span<const iovec>) override {}  // there is no such thing
  Status SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) override;
  void ReleaseFile(int) override {}
  size_t Reap(std::span<WriteCompletion> out) override;
  [[nodiscard]] unsigned in_flight() const override { return slots_.in_use(); }

 private:
  void Submit(unsigned index);
  void RetryPostponed();

  aio_context_t context_ = 0;
  UniqueFd event_fd_;
  WriteSlots slots_;
  std::vector<iocb> requests_;       // one per slot
  std::vector<unsigned> postponed_;  // io_submit() said: not now
};

Status LibaioEngine::Init() {
  STENO_TRY(const int event_fd, MakeEventFd());
  event_fd_.reset(event_fd);
  if (::syscall(SYS_io_setup, slots_.size(), &context_) != 0) {
    context_ = 0;
    return Fail(Error::System("io_setup"));
  }
  return {};
}

void LibaioEngine::Submit(unsigned index) {
  const WriteSlot& slot = slots_[index];
  iocb& request = requests_[index];
  request = iocb{};
  request.aio_data = index;
  request.aio_lio_opcode = IOCB_CMD_PWRITE;
  request.aio_fildes = static_cast<uint32_t>(slot.fd);
  request.aio_buf = reinterpret_cast<uintptr_t>(slot.rest());
  request.aio_nbytes = slot.rest_bytes();
  request.aio_offset = static_cast<int64_t>(slot.rest_offset());
  request.aio_flags = IOCB_FLAG_RESFD;
  request.aio_resfd = static_cast<uint32_t>(event_fd_.get());
  iocb* list = &request;
  for (;;) {
    if (::syscall(SYS_io_submit, context_, 1, &list) == 1) return;
    if (errno != EINTR) break;
  }
  if (errno == EAGAIN) {
    postponed_.push_back(index);
  } else {
    slots_.Refuse(index, errno);
  }
  SignalEventFd(event_fd_.get());
}

Status LibaioEngine::SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) {
  if (slots_.full()) return QueueFull(slots_.size());
  Submit(slots_.Take(fd, bytes, offset, token));
  return {};
}

void LibaioEngine::RetryPostponed() {
  // Those that are postponed again go to the end: each is tried once.
  for (size_t left = postponed_.size(); left > 0; --left) {
    const unsigned index = postponed_.front();
    postponed_.erase(postponed_.begin());
    Submit(index);
  }
}

size_t LibaioEngine::Reap(std::span<WriteCompletion> out) {
  DrainEventFd(event_fd_.get());
  size_t count = slots_.FinishRefused(out);
  std::array<io_event, kReapBatch> events;
  while (count < out.size() && slots_.in_use() > 0) {
    timespec no_wait{};
    const auto room = static_cast<long>(std::min(events.size(), out.size() - count));
    const long ready = ::syscall(SYS_io_getevents, context_, 0L, room, events.data(), &no_wait);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    for (const io_event& event : std::span(events).first(static_cast<size_t>(ready))) {
      const auto index = static_cast<unsigned>(event.data);
      int64_t result = 0;
      if (AdvanceWrite(slots_[index], event.res, result) == WriteStep::kFinished) {
        out[count++] = slots_.Finish(index, result);
      } else {
        Submit(index);
      }
    }
    if (ready < room) break;
  }
  RetryPostponed();
  if (!out.empty() && count == out.size()) SignalEventFd(event_fd_.get());  // there may be more
  return count;
}

}  // namespace

Result<std::unique_ptr<IoEngine>> MakeLibaioEngine(unsigned queue_depth) {
  auto engine = std::make_unique<LibaioEngine>(queue_depth);
  STENO_CHECK_OK(engine->Init());
  return std::unique_ptr<IoEngine>(std::move(engine));
}

}  // namespace steno
