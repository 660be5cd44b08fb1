#include "storage/file_preparer.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/write_slots.h"

namespace steno {
namespace {

constexpr int kRetryMs = 100;
constexpr int64_t kLogPauseNs = 10 * kNsPerSecond;
constexpr int kCheckMs = 1000;  // is the file that waits still there?

struct Slot {
  explicit Slot(PreparerSlotOptions slot_options) : options(std::move(slot_options)) {}

  const PreparerSlotOptions options;
  UniqueFd wake;
  std::atomic<OutputFile*> ready{nullptr};  // owned; exchanged by both sides
  std::atomic<uint64_t> failures{0};
  std::atomic<int> last_errno{0};
  // Of the preparing thread: since when it has failed (0: it works), and which failure is in the log.
  int64_t failing_ns = 0;
  int64_t logged_ns = 0;
  std::jthread thread;

  void Run(const std::stop_token& stop);
  bool Fill();
  void DropRemoved();
  void NoteFailure(const Error& error);
  void NoteSuccess();
};

void Discard(OutputFile* file) {
  if (file == nullptr) return;
  if (const Status status = DiscardFile(std::move(*file)); !status) STENO_WARN("{}", status.error().message);
  delete file;  // NOLINT: ownership comes from an atomic pointer
}

void Slot::NoteFailure(const Error& error) {
  // Errors without an errno are limits of our own: EIO stands for them, so that 0 means success.
  failures.fetch_add(1, std::memory_order_relaxed);
  last_errno.store(error.sys_errno != 0 ? error.sys_errno : EIO, std::memory_order_relaxed);
  if (failing_ns != 0) return;
  failing_ns = MonotonicNs();
  if (logged_ns != 0 && failing_ns - logged_ns < kLogPauseNs) return;
  logged_ns = failing_ns;
  STENO_ERROR("cannot prepare the next packet file, trying every {} ms: {}", kRetryMs, error.message);
}

void Slot::NoteSuccess() {
  last_errno.store(0, std::memory_order_relaxed);
  const int64_t since_ns = std::exchange(failing_ns, 0);
  if (since_ns == 0 || since_ns != logged_ns) return;
  STENO_INFO("packet files can be prepared in {} again, after {} s", options.directory,
             (MonotonicNs() - since_ns) / kNsPerSecond);
}

// Makes the file if there is none; false if that failed.
bool Slot::Fill() {
  if (ready.load(std::memory_order_acquire) != nullptr) return true;
  auto file = PrepareFile(options.directory, options.file_bytes, options.minimum_bytes);
  if (!file) {
    NoteFailure(file.error());
    return false;
  }
  NoteSuccess();
  ready.store(new OutputFile(std::move(*file)), std::memory_order_release);
  return true;
}

void Slot::DropRemoved() {
  // The capture thread may find none meanwhile, and asks again.
  OutputFile* const file = ready.exchange(nullptr, std::memory_order_acquire);
  if (file == nullptr) return;
  if (WasRemoved(*file)) {
    STENO_WARN("{}/{} was removed before it was used", file->directory, file->hidden_name);
    Discard(file);
  } else {
    ready.store(file, std::memory_order_release);
  }
}

void Slot::Run(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "prepare");
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (!stop.stop_requested()) {
    const bool filled = Fill();
    pollfd wait{wake.get(), POLLIN, 0};
    const bool woken = ::poll(&wait, 1, filled ? kCheckMs : kRetryMs) > 0;
    DrainEventFd(wake.get());
    if (!woken && filled) DropRemoved();
  }
}

}  // namespace

struct FilePreparer::Impl {
  std::vector<std::unique_ptr<Slot>> slots;
};

FilePreparer::FilePreparer(std::vector<PreparerSlotOptions> slots) : impl_(std::make_unique<Impl>()) {
  for (PreparerSlotOptions& options : slots) {
    auto slot = std::make_unique<Slot>(std::move(options));
    auto wake = MakeEventFd();
    STENO_CHECK(wake.has_value());  // out of descriptors before anything has begun
    slot->wake.reset(*wake);
    slot->thread = std::jthread([raw = slot.get()](const std::stop_token& stop) { raw->Run(stop); });
    impl_->slots.push_back(std::move(slot));
  }
}

FilePreparer::~FilePreparer() {
  for (const auto& slot : impl_->slots) {
    slot->thread.request_stop();
    SignalEventFd(slot->wake.get());
  }
  for (const auto& slot : impl_->slots) {
    slot->thread.join();
    Discard(slot->ready.exchange(nullptr, std::memory_order_acquire));
  }
}

std::unique_ptr<OutputFile> FilePreparer::TryTake(size_t slot) {
  STENO_CHECK(slot < impl_->slots.size());
  std::unique_ptr<OutputFile> file(impl_->slots[slot]->ready.exchange(nullptr, std::memory_order_acq_rel));
  if (file) SignalEventFd(impl_->slots[slot]->wake.get());
  return file;
}

uint64_t FilePreparer::failures(size_t slot) const {
  STENO_CHECK(slot < impl_->slots.size());
  return impl_->slots[slot]->failures.load(std::memory_order_relaxed);
}

int FilePreparer::last_errno(size_t slot) const {
  STENO_CHECK(slot < impl_->slots.size());
  return impl_->slots[slot]->last_errno.load(std::memory_order_relaxed);
}

}  // namespace steno
