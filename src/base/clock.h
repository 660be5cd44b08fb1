// Times as nanoseconds in int64_t: since the Unix epoch (packet times, file names) or monotonic (intervals).
#pragma once

#include <ctime>
#include <cstdint>

namespace steno {

inline constexpr int64_t kNsPerSecond = 1'000'000'000;
inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerUs = 1'000;

inline int64_t ReadClockNs(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * kNsPerSecond + now.tv_nsec;
}

inline int64_t WallNs() { return ReadClockNs(CLOCK_REALTIME); }
inline int64_t MonotonicNs() { return ReadClockNs(CLOCK_MONOTONIC); }
inline int64_t ThreadCpuNs() { return ReadClockNs(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace steno
