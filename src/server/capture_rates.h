// CaptureRates: what each capture thread took and lost per second, over the last ten seconds. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "server/supervisor.h"

namespace steno {

struct CaptureRate {
  double packets_per_second = 0;
  double bytes_per_second = 0;
  double drops_per_second = 0;
};

// Of all causes.
uint64_t LostPackets(const CaptureCounters& counters);

class CaptureRates {
 public:
  // To be called at least once a second; looks at the counters that often.
  void Sample(const std::vector<CaptureState>& captures, int64_t now_ns);
  // By slot. A thread that has just been started again counts from then on.
  [[nodiscard]] std::vector<CaptureRate> rates() const;

 private:
  struct Counts {
    int64_t started_ns = 0;
    uint64_t packets = 0;
    uint64_t bytes = 0;
    uint64_t drops = 0;
  };
  struct Look {
    int64_t at_ns = 0;
    std::vector<Counts> slots;
  };
  [[nodiscard]] CaptureRate RateOf(size_t slot) const;

  mutable std::mutex mutex_;
  std::deque<Look> looks_;  // guarded by mutex_, the oldest first
};

}  // namespace steno
