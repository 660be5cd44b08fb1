// The walks behind PacketFile::WalkBlocks, one per kind of file. Thread-safe: no shared state, pread() only.
// They end early when the thread's InterruptScope says so.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "storage/packet_file.h"

namespace steno {

// Distance of the incumbent's blocks: its readers assume it, whatever the writer's flags were.
inline constexpr uint64_t kForeignBlockBytes = 1 << 20;

// After a bad header the walk looks for the file's next block in this much of the written data behind it.
// Larger than all writes that can be in flight when a machine stops (128 writes of a 1 MiB block).
inline constexpr uint64_t kResyncBytes = uint64_t{256} << 20;

// True if `start`, a file's first bytes, is a ring block without our header: the incumbent has no private
// area, so its packets start at byte 48.
bool LooksForeign(std::span<const uint8_t> start);

// Both walk the first `end` bytes of the file; `path` is for messages.
Result<BlockTable> WalkOwnBlocks(int fd, const std::string& path, uint64_t end);
Result<BlockTable> WalkForeignBlocks(int fd, const std::string& path, uint64_t end);

// The same from the headers of the blocks alone: fast, and enclosing instead of exact times. Reads up to the
// first thing that is no block; not clean if that is not zeros.
Result<BlockTable> ListForeignBlocks(int fd, const std::string& path, uint64_t end);

// The offset of the first byte that is not zero in [offset, end), or `end`. Skips holes and unwritten extents
// without reading them.
Result<uint64_t> FindNonZero(int fd, const std::string& path, uint64_t offset, uint64_t end);

}  // namespace steno
