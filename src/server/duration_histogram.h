// DurationHistogram: durations counted by upper bound, as Prometheus wants them. Any thread may add and read.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace steno {

class DurationHistogram {
 public:
  // Of queries: from those that memory answers to those that a time-out ends.
  static constexpr std::array<int64_t, 14> kBoundsNs = {
      kNsPerMs,          2 * kNsPerMs,       5 * kNsPerMs,       10 * kNsPerMs,     25 * kNsPerMs,
      50 * kNsPerMs,     100 * kNsPerMs,     250 * kNsPerMs,     kNsPerSecond,      5 * kNsPerSecond,
      30 * kNsPerSecond, 120 * kNsPerSecond, 600 * kNsPerSecond, 900 * kNsPerSecond};

  void Add(int64_t ns) {
    const auto bound = std::ranges::lower_bound(kBoundsNs, ns);
    counts_[static_cast<size_t>(bound - kBoundsNs.begin())].fetch_add(1, std::memory_order_relaxed);
  }
  // Of those not longer than bound `i` and longer than the one before; i == kBoundsNs.size(): longer than
  // all.
  [[nodiscard]] uint64_t count(size_t i) const { return counts_[i].load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kBoundsNs.size() + 1> counts_{};
};

}  // namespace steno
