// A column of 32-bit numbers, compressed: blocks of 256 values as offsets from their minimum, in just enough
// bits for most of them ("patched frame of reference"); the few larger ones follow as exceptions.
//
// Layout of a block of n <= 256 values: varint minimum; width w (1 byte, 0..32); number of exceptions (1
// byte); n offsets of w bits, lowest bit first, filled up to a byte; the exceptions' places (1 byte each);
// the exceptions' upper parts (offset >> w, varint each). Pure functions and plain values; any bytes are safe
// to decode.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "index/byte_stream.h"

namespace steno {

inline constexpr size_t kColumnBlock = 256;

Bytes EncodeColumn(std::span<const uint32_t> values);

class ColumnDecoder {
 public:
  // `count`: how many values were encoded.
  ColumnDecoder(std::span<const uint8_t> bytes, uint32_t count) : reader_(bytes), left_(count) {}

  // The next up to 256 values, valid until the next call; empty after the last one.
  Result<std::span<const uint32_t>> Next();

 private:
  ByteReader reader_;
  uint32_t left_;
  std::array<uint32_t, kColumnBlock> values_;
};

}  // namespace steno
