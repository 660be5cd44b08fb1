// A column of 32-bit numbers, compressed: blocks of 256 values as offsets from their minimum, in just enough
// bits for most of them ("patched frame of reference"); the few larger ones follow as exceptions.
//
// Layout of a block of n <= 256 values: varint minimum; width w (1 byte, 0..32); number of exceptions (1
// byte); n offsets of w bits, lowest bit first, filled up to a byte; the exceptions' places (1 byte each);
// the exceptions' upper parts (offset >> w, varint each). Pure functions and plain values; any bytes are safe
// to decode.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "index/byte_stream.h"

namespace steno {

inline constexpr size_t kColumnBlock = 256;

// Encodes block after block into memory of its own.
class ColumnEncoder {
 public:
  // The encoded block, valid until the next call. REQUIRES: 1 to 256 values; of one column, only the last
  // block is shorter than 256.
  std::span<const uint8_t> Encode(std::span<const uint32_t> values);

 private:
  // Header, all values as exceptions behind 32 bits each, and what the packing writes beyond its end.
  static constexpr size_t kMaxBytes = 5 + 2 + kColumnBlock * (4 + 1 + 5) + 8;
  std::array<uint8_t, kMaxBytes> bytes_;
};

// Encodes a column of `count` values value_at(0), value_at(1)...; calls sink(bytes) with one block after
// another.
template <class ValueAt, class Sink>
void EncodeColumn(uint32_t count, ValueAt value_at, Sink sink) {
  ColumnEncoder encoder;
  std::array<uint32_t, kColumnBlock> values;
  for (uint32_t first = 0; first < count; first += kColumnBlock) {
    const uint32_t size = std::min<uint32_t>(kColumnBlock, count - first);
    for (uint32_t i = 0; i < size; ++i) values[i] = value_at(first + i);
    sink(encoder.Encode(std::span(values).first(size)));
  }
}

Bytes EncodeColumn(std::span<const uint32_t> values);

class ColumnDecoder {
 public:
  // `count`: how many values were encoded.
  ColumnDecoder(std::span<const uint8_t> bytes, uint32_t count) : reader_(bytes), left_(count) {}

  // The next up to 256 values, valid until the next call; empty after the last one.
  Result<std::span<const uint32_t>> Next();
  // Goes past them.
  Status Skip();

 private:
  // The next block as it is encoded.
  struct Block {
    uint32_t count;
    uint32_t minimum;
    unsigned width;
    std::span<const uint8_t> packed;
    std::span<const uint8_t> places;  // of the exceptions, whose upper parts follow
  };
  Result<Block> Read();

  ByteReader reader_;
  uint32_t left_;
  std::array<uint32_t, kColumnBlock> values_;
};

}  // namespace steno
