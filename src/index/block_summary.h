// What is known of a block once its packets have been walked.
#pragma once

#include <algorithm>
#include <cstdint>

namespace steno {

struct BlockSummary {
  int64_t first_ns = 0;  // earliest and latest packet time
  int64_t last_ns = 0;
  uint32_t packets = 0;
  uint64_t captured_bytes = 0;

  void Add(int64_t time_ns, uint64_t bytes) {
    first_ns = packets == 0 ? time_ns : std::min(first_ns, time_ns);
    last_ns = packets == 0 ? time_ns : std::max(last_ns, time_ns);
    captured_bytes += bytes;
    ++packets;
  }
};

}  // namespace steno
