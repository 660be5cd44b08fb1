// PacketLimit: the number of packets that may still be recorded, shared by all capture threads (--count).
// Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace steno {

class PacketLimit {
 public:
  explicit PacketLimit(int64_t packets) : unlimited_(packets < 0), left_(packets) {}

  // How many of the next `packets` may be recorded.
  uint32_t Admit(uint32_t packets) {
    if (unlimited_) return packets;
    const int64_t before = left_.fetch_sub(packets, std::memory_order_relaxed);
    return static_cast<uint32_t>(std::clamp<int64_t>(before, 0, packets));
  }

  [[nodiscard]] bool reached() const { return !unlimited_ && left_.load(std::memory_order_relaxed) <= 0; }

 private:
  const bool unlimited_;
  std::atomic<int64_t> left_;
};

}  // namespace steno
