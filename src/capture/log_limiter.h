// LogLimiter: lets one log line pass per interval, so that a failure that repeats per block does not fill the
// log. One owner thread.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace steno {

class LogLimiter {
 public:
  explicit LogLimiter(int64_t interval_ns = 10 * kNsPerSecond) : interval_ns_(interval_ns) {}

  bool Allow(int64_t monotonic_ns) {
    if (last_ns_ != 0 && monotonic_ns - last_ns_ < interval_ns_) return false;
    last_ns_ = monotonic_ns;
    return true;
  }

 private:
  int64_t interval_ns_;
  int64_t last_ns_ = 0;
};

}  // namespace steno
