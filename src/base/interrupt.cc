#include "base/interrupt.h"

#include <chrono>
#include <thread>
#include <utility>

namespace steno {
namespace {

thread_local const InterruptScope* innermost = nullptr;

constexpr std::chrono::milliseconds kLockPause(5);

}  // namespace

InterruptScope::InterruptScope(IsStopped is_stopped)
    : is_stopped_(std::move(is_stopped)), outer_(std::exchange(innermost, this)) {}

InterruptScope::~InterruptScope() { innermost = outer_; }

IsStopped InterruptScope::Current() { return innermost == nullptr ? IsStopped() : innermost->is_stopped_; }

Status CheckInterrupt() {
  if (innermost == nullptr || !innermost->is_stopped_ || !innermost->is_stopped_()) return {};
  return Fail({.code = ErrorCode::kCancelled, .message = "its result is not wanted any more"});
}

Result<std::unique_lock<std::mutex>> LockInterruptibly(std::mutex& mutex) {
  std::unique_lock lock(mutex, std::try_to_lock);
  while (!lock.owns_lock()) {
    STENO_CHECK_OK(CheckInterrupt());
    std::this_thread::sleep_for(kLockPause);
    lock.try_lock();
  }
  return lock;
}

}  // namespace steno
