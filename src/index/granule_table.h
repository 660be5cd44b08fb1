// The first packet of each granule, as a section of an index file. Pure functions; any bytes are safe to
// decode.
//
// One byte s, 0 or 3; then a column (index/packed_column.h): per granule 0 if no packet starts in it, else 1
// + the first one's offset in the granule >> s.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "index/byte_stream.h"

namespace steno {

// `first_packets`: offsets, or kNoPacketInGranule.
Bytes EncodeGranules(std::span<const uint16_t> first_packets);

// `count`: how many granules were encoded.
Result<std::vector<uint16_t>> DecodeGranules(std::span<const uint8_t> bytes, uint32_t count);

}  // namespace steno
