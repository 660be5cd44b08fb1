// ReadGovernor: how fast all queries together may read packet files, so that the capture keeps its disk.
//
// Without a sign of trouble reads are free (or as fast as a limit of the configuration allows). When a ring
// fills or writes take long, the rate is halved below what was read last, several times a second if need
// be, but never below kFloorBytesPerSecond: a query always gets on. Once the capture is at ease again the
// rate grows until reads are free.
//
// Thread-safe. Times are CLOCK_MONOTONIC in nanoseconds and are the caller's, so that tests need no clock.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/pacer.h"

namespace steno {

class ReadGovernor {
 public:
  static constexpr uint64_t kFloorBytesPerSecond = 16'000'000;

  // Of the capture, since the time before.
  struct Pressure {
    double ring_fill = 0;  // 0 to 1: of the fullest ring
    int64_t write_ns = 0;  // the slowest disk's mean time per write
    bool drops = false;    // a ring was full
  };
  static bool IsHigh(const Pressure& pressure);

  struct Totals {
    uint64_t bytes_per_second = 0;  // 0: free
    uint64_t bytes = 0;
    uint64_t waits = 0;
    int64_t wait_ns = 0;
    uint64_t slowed = 0;  // times that the rate was lowered
  };

  // `limit`: bytes per second, always; 0: none.
  explicit ReadGovernor(uint64_t limit = 0) : limit_(limit), rate_(limit) {}

  // Another limit.
  void SetLimit(uint64_t limit);

  // To be called several times a second.
  void Adjust(const Pressure& pressure, int64_t now_ns);

  // Books a read of `bytes`; returns when it may begin.
  int64_t Book(uint64_t bytes, int64_t now_ns);

  // The same, without a wait: false, and nothing booked, unless reads are free.
  bool BookIfFree(uint64_t bytes);

  [[nodiscard]] Totals totals() const;

 private:
  mutable std::mutex mutex_;
  uint64_t limit_;  // all below: guarded by mutex_
  Pacer pacer_;
  uint64_t rate_;
  uint64_t bytes_at_adjust_ = 0;
  int64_t adjusted_ns_ = 0;
  Totals totals_;
};

}  // namespace steno
