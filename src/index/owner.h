// Whether an index is one of a packet file: both carry the file's random tag, and the index lists the file's
// blocks. Pure functions over files, thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "storage/packet_file.h"

namespace steno {

// kCorrupt if the index at `path` has another tag than the file.
Status CheckFileTag(const std::string& path, uint64_t index_tag, uint64_t file_tag);

// Whether packets from first_ns to last_ns are what a block of the packet file says of its times.
bool TimesFit(const BlockEntry& block, int64_t first_ns, int64_t last_ns);

// kCorrupt unless the index's blocks are the first ones of the packet file.
Status CheckBlocks(const std::string& path, std::span<const BlockEntry> indexed, const BlockTable& table);

}  // namespace steno
