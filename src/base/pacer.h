// Pacer: when something that may happen at so many units per second is due. What was not used is not saved
// up.
//
// Not thread-safe. Times are CLOCK_MONOTONIC in nanoseconds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include "base/clock.h"

namespace steno {

class Pacer {
 public:
  // Books `units`, and returns when they are due: `now_ns`, or later. REQUIRES: per_second > 0.
  int64_t Book(uint64_t units, uint64_t per_second, int64_t now_ns) {
    const int64_t due = std::max(now_ns, next_ns_);
    next_ns_ = due + static_cast<int64_t>(static_cast<double>(units) / static_cast<double>(per_second) *
                                          static_cast<double>(kNsPerSecond));
    return due;
  }

  // What is booked from now on is due at once.
  void Reset() { next_ns_ = 0; }

 private:
  int64_t next_ns_ = 0;
};

// Sleeps until `due_ns`, or until go_on() says no, which it is asked every 20 ms. False: it said no.
template <class GoOn>
bool SleepUntil(int64_t due_ns, GoOn go_on) {
  constexpr int64_t kMaxNapNs = 20 * kNsPerMs;
  for (int64_t left = due_ns - MonotonicNs(); left > 0; left = due_ns - MonotonicNs()) {
    if (!go_on()) return false;
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(left, kMaxNapNs)));
  }
  return true;
}

}  // namespace steno
