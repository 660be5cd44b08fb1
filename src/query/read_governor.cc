#include "query/read_governor.h"

#include <algorithm>

namespace steno {
namespace {

// The capture thread lets blocks gather for a moment, so that a ring is never empty on a busy link.
constexpr double kHighFill = 0.5;
// A write of a block takes 1 ms; some dozens are under way at a time.
constexpr int64_t kHighWriteNs = 100 * kNsPerMs;

constexpr double kGrowth = 1.1;
// Faster than any disk or page cache: reads are free from here on.
constexpr uint64_t kFreeBytesPerSecond = 16'000'000'000;

}  // namespace

bool ReadGovernor::IsHigh(const Pressure& pressure) {
  return pressure.drops || pressure.ring_fill > kHighFill || pressure.write_ns > kHighWriteNs;
}

void ReadGovernor::SetLimit(uint64_t limit) {
  const std::lock_guard lock(mutex_);
  if (limit == limit_) return;
  limit_ = rate_ = limit;
  pacer_.Reset();
}

void ReadGovernor::Adjust(const Pressure& pressure, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const double seconds = static_cast<double>(std::max<int64_t>(1, now_ns - adjusted_ns_)) / kNsPerSecond;
  const auto observed =
      static_cast<uint64_t>(static_cast<double>(totals_.bytes - bytes_at_adjust_) / seconds);
  const bool read = totals_.bytes != bytes_at_adjust_;
  bytes_at_adjust_ = totals_.bytes;
  adjusted_ns_ = now_ns;
  if (IsHigh(pressure)) {
    if (!read) return;  // queries have no part in it
    const uint64_t now = rate_ == 0 ? observed : std::min(rate_, observed);
    rate_ = std::max(now / 2, kFloorBytesPerSecond);
    if (limit_ != 0) rate_ = std::min(rate_, limit_);
    ++totals_.slowed;
  } else if (rate_ != limit_) {
    rate_ = static_cast<uint64_t>(static_cast<double>(rate_) * kGrowth) + 1;
    const uint64_t most = limit_ != 0 ? limit_ : kFreeBytesPerSecond;
    if (rate_ >= most) {
      rate_ = limit_;
      pacer_.Reset();
    }
  }
}

int64_t ReadGovernor::Book(uint64_t bytes, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  totals_.bytes += bytes;
  if (rate_ == 0) return now_ns;
  const int64_t due = pacer_.Book(bytes, rate_, now_ns);
  if (due > now_ns) {
    ++totals_.waits;
    totals_.wait_ns += due - now_ns;
  }
  return due;
}

bool ReadGovernor::BookIfFree(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (rate_ != 0) return false;
  totals_.bytes += bytes;
  return true;
}

ReadGovernor::Totals ReadGovernor::totals() const {
  const std::lock_guard lock(mutex_);
  Totals totals = totals_;
  totals.bytes_per_second = rate_;
  return totals;
}

}  // namespace steno
