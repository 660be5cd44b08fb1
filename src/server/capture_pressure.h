// CapturePressure: how hard the capture has it, from the counters in its arenas, for the ReadGovernor.
//
// Not thread-safe. The counters are untrusted: whatever they say, the result is in its bounds.
#pragma once

#include <cstdint>
#include <map>

#include "query/read_governor.h"
#include "server/supervisor.h"

namespace steno {

class CapturePressure {
 public:
  // Since the call before; the first one sees full rings only.
  ReadGovernor::Pressure Sample(const std::vector<CaptureState>& captures);

 private:
  struct Seen {
    uint64_t writes = 0;
    uint64_t write_ns = 0;
    uint64_t drops = 0;
  };
  std::map<const Arena*, Seen> seen_;  // of the arenas of the latest call
};

}  // namespace steno
