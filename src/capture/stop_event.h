// StopEvent: the request to stop, for a thread that waits for descriptors. Once requested it stays.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

class StopEvent {
 public:
  Status Open();  // before any other call
  void Request();
  [[nodiscard]] bool requested() const { return requested_.load(std::memory_order_relaxed); }

  // Waits until poll(2) finds `events` at `fd` (-1: nothing), the stop is requested, or the time is over (-1:
  // never). True for the first of these.
  [[nodiscard]] bool WaitFor(int fd, int16_t events, int timeout_ms) const;

 private:
  UniqueFd event_;
  std::atomic<bool> requested_{false};
};

}  // namespace steno
