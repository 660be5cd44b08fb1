#include "server/capture_rates.h"

#include "base/clock.h"

namespace steno {
namespace {

constexpr int64_t kPeriodNs = 10 * kNsPerSecond;

double PerSecond(uint64_t from, uint64_t to, int64_t ns) {
  if (to < from || ns <= 0) return 0;
  return static_cast<double>(to - from) * static_cast<double>(kNsPerSecond) / static_cast<double>(ns);
}

}  // namespace

uint64_t LostPackets(const CaptureCounters& counters) {
  return counters.ring_drops.load(std::memory_order_relaxed) +
         counters.write_error_drops.load(std::memory_order_relaxed) +
         counters.removed_packets.load(std::memory_order_relaxed);
}

void CaptureRates::Sample(const std::vector<CaptureState>& captures, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (!looks_.empty() && now_ns - looks_.back().at_ns < kNsPerSecond) return;
  Look look{now_ns, {}};
  for (const CaptureState& capture : captures) {
    look.slots.resize(std::max<size_t>(look.slots.size(), capture.first_slot + capture.arenas.size()));
    for (size_t i = 0; i < capture.arenas.size(); ++i) {
      const CaptureCounters& counters = capture.arenas[i]->counters();
      look.slots[capture.first_slot + i] = {
          static_cast<int64_t>(counters.started_ns.load(std::memory_order_relaxed)),
          counters.packets.load(std::memory_order_relaxed), counters.bytes.load(std::memory_order_relaxed),
          LostPackets(counters)};
    }
  }
  looks_.push_back(std::move(look));
  while (looks_.size() > 2 && now_ns - looks_[1].at_ns >= kPeriodNs) looks_.pop_front();
}

CaptureRate CaptureRates::RateOf(size_t slot) const {
  const Look& last = looks_.back();
  const Counts& to = last.slots[slot];
  for (const Look& look : looks_) {
    if (slot >= look.slots.size() || look.slots[slot].started_ns != to.started_ns) continue;
    const Counts& from = look.slots[slot];
    const int64_t ns = last.at_ns - look.at_ns;
    return {PerSecond(from.packets, to.packets, ns), PerSecond(from.bytes, to.bytes, ns),
            PerSecond(from.drops, to.drops, ns)};
  }
  return {};
}

std::vector<CaptureRate> CaptureRates::rates() const {
  const std::lock_guard lock(mutex_);
  std::vector<CaptureRate> rates;
  if (looks_.empty()) return rates;
  for (size_t slot = 0; slot < looks_.back().slots.size(); ++slot) rates.push_back(RateOf(slot));
  return rates;
}

}  // namespace steno
