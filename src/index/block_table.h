// The block table of a sealed index: BlockEntry records as differences. Pure functions; any bytes are safe to
// decode.
//
// Per block, as varints: ZigZag(file_offset - end of the previous block, padded to kDiskAlignment),
// ZigZag(first_ns - first_ns of the previous block), ZigZag(last_ns - first_ns), packet_count, used_bytes,
// drops, flags.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "index/byte_stream.h"
#include "storage/block_format.h"

namespace steno {

Bytes EncodeBlockTable(std::span<const BlockEntry> blocks);

// `count`: how many blocks were encoded.
Result<std::vector<BlockEntry>> DecodeBlockTable(std::span<const uint8_t> bytes, uint32_t count);

}  // namespace steno
