// Meters for benchmarks: CPU time and cycles of the calling thread, resident memory of the process.
#pragma once

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace steno::bench {

struct Cost {
  int64_t ns = 0;
  uint64_t cycles = 0;  // 0 where the machine does not count them
  Cost& operator+=(const Cost& other) {
    ns += other.ns;
    cycles += other.cycles;
    return *this;
  }
};

class Meter {
 public:
  Meter() {
    perf_event_attr event{};
    event.type = PERF_TYPE_HARDWARE;
    event.size = sizeof event;
    event.config = PERF_COUNT_HW_CPU_CYCLES;
    event.exclude_hv = 1;
    counter_.reset(static_cast<int>(::syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  }

  void Start() { start_ = Now(); }
  // Since Start().
  [[nodiscard]] Cost Stop() const {
    const Cost now = Now();
    return {now.ns - start_.ns, now.cycles - start_.cycles};
  }

 private:
  [[nodiscard]] Cost Now() const {
    Cost now{.ns = ThreadCpuNs()};
    if (counter_.valid() && ::read(counter_.get(), &now.cycles, sizeof now.cycles) != sizeof now.cycles)
      now.cycles = 0;
    return now;
  }

  UniqueFd counter_;
  Cost start_;
};

// A line of /proc/self/status, in bytes: "VmRSS" is what is resident now, "VmHWM" the most there was.
inline uint64_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    uint64_t kib = 0;
    if (line.starts_with(name + ":") && std::sscanf(line.c_str() + name.size() + 1, "%lu", &kib) == 1)
      return kib << 10;
  }
  return 0;
}
// From here on VmHWM counts anew (proc(5), clear_refs).
inline void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace steno::bench
