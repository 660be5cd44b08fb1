// What a process uses, from /proc. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace steno {

struct ProcessUsage {
  double cpu_seconds = 0;    // user and system
  double start_seconds = 0;  // since the epoch
  uint64_t virtual_bytes = 0;
  uint64_t resident_bytes = 0;
  uint64_t threads = 0;
};

// Nothing if there is no such process.
std::optional<ProcessUsage> ReadProcessUsage(pid_t pid);

// Of this process: open descriptors now, and how many there may be.
struct DescriptorUsage {
  uint64_t open = 0;
  uint64_t limit = 0;
};
DescriptorUsage ReadDescriptorUsage();

}  // namespace steno
