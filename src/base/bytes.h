// Loads and stores of fixed-width integers at unaligned places, in network (big-endian) or file (little-endian)
// order. The caller guarantees that the bytes exist.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace steno {

static_assert(std::endian::native == std::endian::little, "on-disk formats are dumped in little-endian order");

template <std::unsigned_integral T>
constexpr T SwapBytes(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

template <std::unsigned_integral T>
inline T LoadLe(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::unsigned_integral T>
inline T LoadBe(const void* from) {
  return SwapBytes(LoadLe<T>(from));
}

template <std::unsigned_integral T>
inline void StoreLe(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

template <std::unsigned_integral T>
inline void StoreBe(void* to, T value) {
  StoreLe(to, SwapBytes(value));
}

constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace steno
