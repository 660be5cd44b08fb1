// Read units: the pieces of one packet file that a query has to read, each inside one block.
//
// The index names granules (16 KiB of file) in which candidate packets start. Neighbouring granules become
// one read: a gap of up to 32 KiB costs less to read over than a second read. Reading more packets than asked
// for is harmless, because the exact predicate decides about each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/flow_index.h"
#include "query/expression.h"
#include "storage/block_format.h"

namespace steno {

inline constexpr uint64_t kMaxReadGap = 32 * 1024;
inline constexpr uint64_t kMaxReadBytes =
    1 << 20;  // of several granules; a block without index is read in one piece

// Offsets are those of the file.
struct ReadUnit {
  int64_t first_ns = 0;      // of its block: no packet is earlier (a rare one where times are enclosing)
  uint64_t block_begin = 0;  // the block: where its kernel header is
  uint64_t block_end = 0;    // and where its used bytes end
  uint64_t read_begin =
      0;                  // a packet header, or block_begin: then the kernel header tells where packets start
  uint64_t read_end = 0;  // the last packet is whole before this
  uint64_t starts_begin = 0;  // the unit's packets are those which start in [starts_begin, starts_end)
  uint64_t starts_end = 0;

  [[nodiscard]] bool from_block_start() const { return read_begin == block_begin; }
};

// The whole block.
ReadUnit WholeBlock(const BlockEntry& block);

// False for an entry that no writer makes: such a block cannot be read.
bool IsReadable(const BlockEntry& block);

// All blocks that overlap `bounds`.
std::vector<ReadUnit> PlanScan(std::span<const BlockEntry> blocks, const TimeRange& bounds);

// Of the blocks that overlap `bounds`: the given granules (ascending), and all of the unindexed blocks.
std::vector<ReadUnit> PlanGranules(std::span<const BlockEntry> blocks, const TimeRange& bounds,
                                   const FlowIndex& index, std::span<const uint32_t> granules);

// The order in which the merge needs them: by time, then by place.
void SortByTime(std::vector<ReadUnit>& units);

}  // namespace steno
