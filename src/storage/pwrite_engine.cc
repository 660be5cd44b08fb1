// Writes by a few threads: works wherever a file can be written.
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "storage/engines.h"
#include "storage/write_slots.h"

namespace steno {
namespace {

constexpr size_t kThreads = 4;

// A queue of slot indexes and results in memory that is allocated once. Not synchronised.
struct Finished {
  unsigned index = 0;
  int64_t result = 0;
};
template <class T>
class Ring {
 public:
  explicit Ring(unsigned capacity) : items_(capacity) {}
  [[nodiscard]] bool empty() const { return count_ == 0; }
  void Push(const T& item) { items_[(first_ + count_++) % items_.size()] = item; }
  T Pop() {
    const T item = items_[first_];
    first_ = (first_ + 1) % items_.size();
    --count_;
    return item;
  }

 private:
  std::vector<T> items_;
  size_t first_ = 0;
  size_t count_ = 0;
};

class PwriteEngine final : public IoEngine {
 public:
  explicit PwriteEngine(unsigned queue_depth)
      : slots_(queue_depth), waiting_(queue_depth), finished_(queue_depth) {}
  PwriteEngine(const PwriteEngine&) = delete;
  PwriteEngine& operator=(const PwriteEngine&) = delete;
  ~PwriteEngine() override;

  Status Init();

  [[nodiscard]] std::string_view name() const override { return "pwrite"; }
  [[nodiscard]] int event_fd() const override { return event_fd_.get(); }
  void RegisterMemory(std::span<const iovec>) override {}
  Status SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) override;
  void ReleaseFile(int) override {}
  size_t Reap(std::span<WriteCompletion> out) override;
  [[nodiscard]] unsigned in_flight() const override { return slots_.in_use(); }

 private:
  void Work();
  static int64_t WriteAll(WriteSlot& slot);

  UniqueFd event_fd_;
  WriteSlots slots_;  // a slot belongs to the worker that took its index, until it is in finished_
  std::mutex mutex_;  // of the members down to stopping_
  std::condition_variable work_;
  Ring<unsigned> waiting_;
  Ring<Finished> finished_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

PwriteEngine::~PwriteEngine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status PwriteEngine::Init() {
  STENO_TRY(const int event_fd, MakeEventFd());
  event_fd_.reset(event_fd);
  try {
    threads_.reserve(kThreads);
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back(&PwriteEngine::Work, this);
  } catch (const std::system_error& error) {
    if (threads_.empty()) return Fail(Error::System("start a writer thread", error.code().value()));
  }
  return {};
}

int64_t PwriteEngine::WriteAll(WriteSlot& slot) {
  for (;;) {
    const ssize_t put =
        ::pwrite(slot.fd, slot.rest(), slot.rest_bytes(), static_cast<off_t>(slot.rest_offset()));
    int64_t result = 0;
    if (AdvanceWrite(slot, put < 0 ? -errno : put, result) == WriteStep::kFinished) return result;
  }
}

void PwriteEngine::Work() {
  // Signals are for the program's own threads.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const unsigned index = waiting_.Pop();
    lock.unlock();
    const int64_t result = WriteAll(slots_[index]);
    lock.lock();
    finished_.Push({index, result});
    SignalEventFd(event_fd_.get());
  }
}

Status PwriteEngine::SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) {
  if (slots_.full()) return QueueFull(slots_.size());
  const unsigned index = slots_.Take(fd, bytes, offset, token);
  {
    const std::lock_guard lock(mutex_);
    waiting_.Push(index);
  }
  work_.notify_one();
  return {};
}

size_t PwriteEngine::Reap(std::span<WriteCompletion> out) {
  DrainEventFd(event_fd_.get());
  size_t count = 0;
  const std::lock_guard lock(mutex_);
  while (count < out.size() && !finished_.empty()) {
    const Finished finished = finished_.Pop();
    out[count++] = slots_.Finish(finished.index, finished.result);
  }
  if (!finished_.empty()) SignalEventFd(event_fd_.get());
  return count;
}

}  // namespace

Result<std::unique_ptr<IoEngine>> MakePwriteEngine(unsigned queue_depth) {
  auto engine = std::make_unique<PwriteEngine>(queue_depth);
  STENO_CHECK_OK(engine->Init());
  return std::unique_ptr<IoEngine>(std::move(engine));
}

}  // namespace steno
