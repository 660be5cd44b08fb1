// Interruption: work that can take long (walking a file of gigabytes, evaluating a large index) asks now and
// then whether its result is still wanted.
//
// Whoever starts the work puts an InterruptScope around it, on the thread that does it; what is below need
// not hand a token down through every call. Without a scope nothing is ever interrupted. Scopes nest: the
// innermost counts.
#pragma once

#include <functional>
#include <mutex>

#include "base/result.h"

namespace steno {

// True once the result is not wanted any more. Called on the working thread, up to some thousand times a
// second.
using IsStopped = std::function<bool()>;

class InterruptScope {
 public:
  explicit InterruptScope(IsStopped is_stopped);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  // That of this thread's scope, to take it along to a helper thread; empty without one.
  static IsStopped Current();

 private:
  friend Status CheckInterrupt();
  const IsStopped is_stopped_;
  const InterruptScope* const outer_;
};

// kCancelled if the thread's scope says that the work is to end.
Status CheckInterrupt();

// Waits for a mutex that another thread may hold for long: kCancelled instead of waiting on.
Result<std::unique_lock<std::mutex>> LockInterruptibly(std::mutex& mutex);

}  // namespace steno
