// MessageLimiter: lets a message through at most once per period and counts the others. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

namespace steno {

class MessageLimiter {
 public:
  explicit MessageLimiter(int64_t period_ns) : period_ns_(period_ns) {}

  // How many were held back since the last one, if this one may be logged. `now_ns`: CLOCK_MONOTONIC.
  std::optional<uint64_t> Allow(int64_t now_ns) {
    const std::lock_guard lock(mutex_);
    if (now_ns < next_ns_) {
      ++held_back_;
      return std::nullopt;
    }
    next_ns_ = now_ns + period_ns_;
    const uint64_t held_back = held_back_;
    held_back_ = 0;
    return held_back;
  }

 private:
  const int64_t period_ns_;
  std::mutex mutex_;
  int64_t next_ns_ = INT64_MIN;
  uint64_t held_back_ = 0;
};

}  // namespace steno
