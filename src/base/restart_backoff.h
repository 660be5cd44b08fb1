// RestartBackoff: how long to wait before something that ended is started again. A run of a minute or more
// starts it anew: the next restart is immediate. Then 0.25 s, doubling up to a longest; never gives up. Plain
// value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace steno {

class RestartBackoff {
 public:
  static constexpr int64_t kLongRunNs = 60 * kNsPerSecond;
  static constexpr int64_t kFirstDelayNs = kNsPerSecond / 4;
  static constexpr int64_t kMaxDelayNs = 30 * kNsPerSecond;

  RestartBackoff() = default;
  explicit RestartBackoff(int64_t max_delay_ns) : max_delay_ns_(max_delay_ns) {}

  // The pause after a run that lasted `run_ns`.
  int64_t NextDelayNs(int64_t run_ns) {
    if (run_ns >= kLongRunNs) next_ns_ = 0;
    const int64_t delay = next_ns_;
    next_ns_ = delay == 0 ? kFirstDelayNs : std::min(2 * delay, max_delay_ns_);
    return delay;
  }

 private:
  int64_t max_delay_ns_ = kMaxDelayNs;
  int64_t next_ns_ = 0;
};

}  // namespace steno
