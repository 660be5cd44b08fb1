// MemoryBudget: the packets that all queries together may keep in memory until it is their turn. A query that
// finds it used up reads some of its packets again later instead (query/merge.h).
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace steno {

class MemoryBudget {
 public:
  // What each query may hold whatever the others do: some blocks of each of a few files.
  static constexpr uint64_t kOwnBytes = 4 << 20;

  explicit MemoryBudget(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // False, and counted, if a query that holds `own_bytes` must hold no more.
  bool MayHoldMore(uint64_t own_bytes) {
    if (own_bytes <= kOwnBytes || used() <= limit_) return true;
    refusals_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  // For what only makes a query faster: true if that leaves half of all to the packets that wait.
  [[nodiscard]] bool HasPlentyFor(uint64_t bytes) const { return used() + bytes <= limit_ / 2; }

  [[nodiscard]] uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t refusals() const { return refusals_.load(std::memory_order_relaxed); }

 private:
  friend class HeldMemory;
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
  std::atomic<uint64_t> refusals_{0};
};

// What one query holds of it; given back at the end. Not thread-safe.
class HeldMemory {
 public:
  explicit HeldMemory(MemoryBudget* budget) : budget_(budget) {}
  ~HeldMemory() { Release(bytes_); }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;

  void Take(uint64_t bytes) {
    bytes_ += bytes;
    if (budget_ != nullptr) budget_->used_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void Release(uint64_t bytes) {
    bytes_ -= bytes;
    if (budget_ != nullptr) budget_->used_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] bool MayGrow(uint64_t limit) const {
    return bytes_ <= limit && (budget_ == nullptr || budget_->MayHoldMore(bytes_));
  }

 private:
  MemoryBudget* const budget_;
  uint64_t bytes_ = 0;
};

}  // namespace steno
