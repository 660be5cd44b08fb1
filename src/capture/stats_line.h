// The statistics line of a thread, in the incumbent's shape: monitoring scripts split it on white space and
// take packets and drops by their place. Behind the log prefix (time, thread, source) it has 11 words, so 14
// in all.
#pragma once

#include <cstdint>
#include <string>

namespace steno {

// Totals since the start.
struct StatsSample {
  uint64_t bytes = 0;  // written to disk
  int64_t elapsed_ns = 0;
  uint64_t packets = 0;
  uint64_t blocks = 0;
  uint64_t polls = 0;
  uint64_t drops = 0;
};

// "Thread 0 stats: MB=672300 secs=163947 MBps=4.10072 packets=851932973 blocks=672300 polls=1404330 drops=0
// drop%=0"
std::string FormatStatsLine(unsigned thread, const StatsSample& sample);

}  // namespace steno
