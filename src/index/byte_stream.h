// Appending to and reading from byte strings: fixed-width numbers and LEB128 varints. Sealed index sections
// are made of these. Not thread-safe.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace steno {

using Bytes = std::vector<uint8_t>;

template <std::unsigned_integral T>
void AppendLe(Bytes& out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof value);
  StoreLe(out.data() + at, value);
}

// LEB128: 7 bits per byte, lowest first, bit 7 set on all but the last. T may be unsigned __int128.
template <class T>
void AppendVarint(Bytes& out, T value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}

// The same into memory that has room for it; returns where it ends.
template <class T>
uint8_t* PutVarint(uint8_t* at, T value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<uint8_t>(value | 0x80);
  *at++ = static_cast<uint8_t>(value);
  return at;
}

// Small magnitudes of either sign become small numbers.
constexpr uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1)); }

// Reads what the functions above wrote. Never reads outside the bytes: after an attempt to, ok() is false and
// every further value is 0.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t left() const { return bytes_.size() - at_; }

  template <std::unsigned_integral T>
  T Le() {
    const auto bytes = Take(sizeof(T));
    return bytes.empty() ? T{0} : LoadLe<T>(bytes.data());
  }

  // Empty (and not ok(), unless `count` is 0) if there are fewer.
  std::span<const uint8_t> Take(size_t count) {
    if (!ok_ || count > left()) {
      ok_ = false;
      return {};
    }
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }

  // A number that does not fit T is an error.
  template <class T>
  T Varint() {
    T value = 0;
    for (unsigned shift = 0; ok_ && at_ < bytes_.size() && shift < sizeof(T) * 8; shift += 7) {
      const uint8_t byte = bytes_[at_++];
      const T bits = static_cast<T>(byte & 0x7f);
      if (static_cast<T>(static_cast<T>(bits << shift) >> shift) != bits) break;
      value = static_cast<T>(value | static_cast<T>(bits << shift));
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace steno
