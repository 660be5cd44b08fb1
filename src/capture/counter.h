// Writing the shared counters. Each has one owner thread, so a load and a store do what a locked addition
// would.
#pragma once

#include "index/arena.h"

namespace steno {

inline void AddTo(Counter& counter, uint64_t amount = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

inline void SetTo(Counter& counter, uint64_t value) { counter.store(value, std::memory_order_relaxed); }

inline uint64_t ValueOf(const Counter& counter) { return counter.load(std::memory_order_relaxed); }

}  // namespace steno
