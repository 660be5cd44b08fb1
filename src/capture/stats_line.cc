#include "capture/stats_line.h"

#include <fmt/format.h>

#include "base/clock.h"

namespace steno {

std::string FormatStatsLine(unsigned thread, const StatsSample& sample) {
  const double megabytes = static_cast<double>(sample.bytes) / (1 << 20);
  const double seconds = static_cast<double>(sample.elapsed_ns) / static_cast<double>(kNsPerSecond);
  const uint64_t offered = sample.packets + sample.drops;
  const double drop_percent =
      offered == 0 ? 0 : 100 * static_cast<double>(sample.drops) / static_cast<double>(offered);
  return fmt::format(
      "Thread {} stats: MB={} secs={} MBps={:g} packets={} blocks={} polls={} drops={} drop%={:g}", thread,
      sample.bytes >> 20, sample.elapsed_ns / kNsPerSecond, seconds > 0 ? megabytes / seconds : 0.0,
      sample.packets, sample.blocks, sample.polls, sample.drops, drop_percent);
}

}  // namespace steno
