#include "server/capture_pressure.h"

#include <algorithm>
#include <utility>

#include "index/arena.h"

namespace steno {

ReadGovernor::Pressure CapturePressure::Sample(const std::vector<CaptureState>& captures) {
  ReadGovernor::Pressure pressure;
  std::map<const Arena*, Seen> now;
  for (const CaptureState& capture : captures) {
    for (const auto& arena : capture.arenas) {
      if (!arena) continue;
      const CaptureCounters& counters = arena->counters();
      Seen& seen = now[arena.get()];
      for (const Counter& bucket : counters.write_latency)
        seen.writes += bucket.load(std::memory_order_relaxed);
      seen.write_ns = counters.write_latency_sum_ns.load(std::memory_order_relaxed);
      seen.drops = counters.ring_drops.load(std::memory_order_relaxed);
      const auto used = static_cast<double>(counters.ring_blocks_used.load(std::memory_order_relaxed));
      const auto total = static_cast<double>(counters.ring_blocks_total.load(std::memory_order_relaxed));
      if (total > 0) pressure.ring_fill = std::max(pressure.ring_fill, std::min(1.0, used / total));
      const auto before = seen_.find(arena.get());
      if (before == seen_.end()) continue;
      if (seen.writes > before->second.writes && seen.write_ns > before->second.write_ns) {
        const uint64_t mean =
            (seen.write_ns - before->second.write_ns) / (seen.writes - before->second.writes);
        pressure.write_ns =
            std::max(pressure.write_ns, static_cast<int64_t>(std::min<uint64_t>(mean, INT64_MAX)));
      }
      pressure.drops |= seen.drops > before->second.drops;
    }
  }
  seen_ = std::move(now);
  return pressure;
}

}  // namespace steno
