// Bit strings: fixed-width numbers and exponential Golomb codes, lowest bit of the first byte first. Not
// thread-safe.
//
// The exponential Golomb code of order k writes v as x = (v >> k) + 1: as many 0 bits as x has bits after its
// highest, a 1, those bits of x, then the low k bits of v. Small numbers (below 2^k) take k + 1 bits. Numbers
// are up to 2^32 - 1.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "index/byte_stream.h"

namespace steno {

class BitWriter {
 public:
  // REQUIRES: bits <= 32, value < 2^bits.
  void Put(uint64_t value, unsigned bits) {
    pending_ |= value << pending_bits_;
    pending_bits_ += bits;
    if (pending_bits_ >= 32) {
      if (bytes_.size() - size_ < sizeof(uint64_t)) [[unlikely]]
        Grow();
      StoreLe(bytes_.data() + size_, static_cast<uint32_t>(pending_));
      size_ += sizeof(uint32_t);
      pending_ >>= 32;
      pending_bits_ -= 32;
    }
  }

  void PutExpGolomb(uint32_t value, unsigned order) {
    const uint64_t x = (uint64_t{value} >> order) + 1;
    const auto tail = static_cast<unsigned>(std::bit_width(x)) - 1;
    const uint64_t stop_and_tail = uint64_t{1} | (x ^ uint64_t{1} << tail) << 1;
    const uint64_t low = value & ((uint64_t{1} << order) - 1);
    if (2 * tail + 1 + order <= 32) [[likely]] {
      Put(stop_and_tail << tail | low << (2 * tail + 1), 2 * tail + 1 + order);
      return;
    }
    Put(0, tail);
    Put(1, 1);
    Put(stop_and_tail >> 1, tail);
    Put(low, order);
  }

  // Fills the last byte with zeros and returns all bytes so far, valid until the next call.
  std::span<const uint8_t> Finish() {
    if (bytes_.size() - size_ < sizeof(uint64_t)) Grow();
    for (; pending_bits_ > 0; pending_bits_ -= std::min(pending_bits_, 8u)) {
      bytes_[size_++] = static_cast<uint8_t>(pending_);
      pending_ >>= 8;
    }
    return std::span(bytes_).first(size_);
  }

  // Begins a new string of bits. REQUIRES: finished. Keeps the memory.
  void Clear() { size_ = 0; }

 private:
  [[gnu::noinline]] void Grow() { bytes_.resize(std::max<size_t>(256, 2 * bytes_.size())); }

  Bytes bytes_;  // its first size_ bytes are written
  size_t size_ = 0;
  uint64_t pending_ = 0;
  unsigned pending_bits_ = 0;  // < 32 between calls
};

// Reads what BitWriter wrote. Never reads outside the bytes: after the end it sees zeros, and ok() is false.
class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_ && at_ <= bytes_.size() * 8; }

  // REQUIRES: bits <= 56.
  uint64_t Get(unsigned bits) {
    const uint64_t value = Peek() & Mask(bits);
    at_ += bits;
    return value;
  }

  uint32_t GetExpGolomb(unsigned order) {
    const uint64_t bits = Peek();
    const auto tail = static_cast<unsigned>(std::countr_zero(bits));
    if (2 * tail + 1 + order <= kPeekBits) [[likely]] {
      at_ += 2 * tail + 1 + order;
      const uint64_t x = (bits >> (tail + 1) & Mask(tail)) | uint64_t{1} << tail;
      return Join(x, bits >> (2 * tail + 1) & Mask(order), order);
    }
    if (tail > 32) {
      ok_ = false;
      return 0;
    }
    at_ += tail + 1;
    const uint64_t x = Get(tail) | uint64_t{1} << tail;
    return Join(x, Get(order), order);
  }

 private:
  static constexpr unsigned kPeekBits = 57;

  static uint64_t Mask(unsigned bits) { return (uint64_t{1} << bits) - 1; }

  uint32_t Join(uint64_t x, uint64_t low, unsigned order) {
    const uint64_t value = (x - 1) << order | low;
    if (value > UINT32_MAX) ok_ = false;
    return static_cast<uint32_t>(value);
  }

  // At least kPeekBits bits from the current place on.
  [[nodiscard]] uint64_t Peek() const {
    const uint64_t byte = at_ / 8;
    uint64_t bits = 0;
    if (byte + sizeof bits <= bytes_.size()) [[likely]] {
      std::memcpy(&bits, bytes_.data() + byte, sizeof bits);
    } else if (byte < bytes_.size()) {
      std::memcpy(&bits, bytes_.data() + byte, bytes_.size() - byte);
    }
    return bits >> (at_ % 8);
  }

  std::span<const uint8_t> bytes_;
  uint64_t at_ = 0;  // in bits
  bool ok_ = true;
};

}  // namespace steno
