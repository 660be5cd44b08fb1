#include "storage/file_preparer.h"

#include <poll.h>
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
constexpr int64_t kLogEveryNs = kNsPerSecond;

struct Slot {
  explicit Slot(PreparerSlotOptions slot_options) : options(std::move(slot_options)) {}

  const PreparerSlotOptions options;
  std::atomic<OutputFile*> ready{nullptr};  // owned; exchanged by both sides
  std::atomic<uint64_t> failures{0};
  std::atomic<int> last_errno{0};
  int64_t logged_ns = 0;  // of the preparing thread
};

void Discard(OutputFile* file) {
  if (file == nullptr) return;
  if (const Status status = DiscardFile(std::move(*file)); !status) STENO_WARN("{}", status.error().message);
  delete file;  // NOLINT: ownership comes from an atomic pointer
}

}  // namespace

struct FilePreparer::Impl {
  std::vector<std::unique_ptr<Slot>> slots;
  UniqueFd wake;
  std::jthread thread;

  void Run(const std::stop_token& stop);
  static bool Fill(Slot& slot);
};

// Makes the slot's file if it has none; false if that failed.
bool FilePreparer::Impl::Fill(Slot& slot) {
  if (slot.ready.load(std::memory_order_acquire) != nullptr) return true;
  const PreparerSlotOptions& options = slot.options;
  auto file = PrepareFile(options.directory, options.file_bytes, options.minimum_bytes);
  if (file) {
    slot.last_errno.store(0, std::memory_order_relaxed);
    slot.ready.store(new OutputFile(std::move(*file)), std::memory_order_release);
    return true;
  }
  // Errors without an errno are limits of our own: EIO stands for them, so that 0 means success.
  const Error& error = file.error();
  slot.failures.fetch_add(1, std::memory_order_relaxed);
  slot.last_errno.store(error.sys_errno != 0 ? error.sys_errno : EIO, std::memory_order_relaxed);
  const int64_t now = MonotonicNs();
  if (slot.logged_ns == 0 || now - slot.logged_ns >= kLogEveryNs) {
    STENO_ERROR("cannot prepare the next packet file: {}", error.message);
    slot.logged_ns = now;
  }
  return false;
}

void FilePreparer::Impl::Run(const std::stop_token& stop) {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (!stop.stop_requested()) {
    bool complete = true;
    for (const auto& slot : slots) {
      if (!stop.stop_requested()) complete &= Fill(*slot);
    }
    pollfd wait{wake.get(), POLLIN, 0};
    ::poll(&wait, 1, complete ? -1 : kRetryMs);
    DrainEventFd(wake.get());
  }
}

FilePreparer::FilePreparer(std::vector<PreparerSlotOptions> slots) : impl_(std::make_unique<Impl>()) {
  for (PreparerSlotOptions& options : slots)
    impl_->slots.push_back(std::make_unique<Slot>(std::move(options)));
  auto wake = MakeEventFd();
  STENO_CHECK(wake.has_value());  // out of descriptors before anything has begun
  impl_->wake.reset(*wake);
  impl_->thread = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->Run(stop); });
}

FilePreparer::~FilePreparer() {
  impl_->thread.request_stop();
  SignalEventFd(impl_->wake.get());
  impl_->thread.join();
  for (const auto& slot : impl_->slots) Discard(slot->ready.exchange(nullptr, std::memory_order_acquire));
}

std::unique_ptr<OutputFile> FilePreparer::TryTake(size_t slot) {
  STENO_CHECK(slot < impl_->slots.size());
  std::unique_ptr<OutputFile> file(impl_->slots[slot]->ready.exchange(nullptr, std::memory_order_acq_rel));
  if (file) SignalEventFd(impl_->wake.get());
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
