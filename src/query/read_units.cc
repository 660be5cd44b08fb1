#include "query/read_units.h"

#include <algorithm>
#include <tuple>

#include "base/clock.h"
#include "index/segment.h"
#include "query/flow_select.h"

namespace steno {
namespace {

// Far beyond any packet file (granules are numbered by 32 bits), and low enough for sums not to overflow.
constexpr uint64_t kMaxBlockOffset = uint64_t{1} << 45;

// Packets come into a ring within this time of their stamps, but for rare ones (a CPU was stopped in
// between), which are handed on late. Waiting for those, too, a merge would hold all packets of
// kEnclosingSlackNs.
constexpr int64_t kArrivalNs = 10 * kNsPerMs;

bool InBounds(const BlockEntry& block, const TimeRange& bounds) {
  return IsReadable(block) && Overlaps(bounds, {block.first_ns, block.last_ns});
}

// Where the first packet at or after granule `first` (before granule `end`) starts; `limit` if none does.
uint64_t FirstStart(const FlowIndex& index, uint64_t first, uint64_t end, uint64_t limit) {
  for (uint64_t granule = first; granule < end; ++granule) {
    const uint16_t offset = index.FirstPacket(static_cast<uint32_t>(granule));
    if (offset != kNoPacketInGranule) return std::min(limit, granule * kGranuleBytes + offset);
  }
  return limit;
}

// Granules first..last of the block as one unit, unless no packet of this block starts in them.
void AddUnit(const BlockEntry& block, const FlowIndex& index, uint64_t first, uint64_t last,
             std::vector<ReadUnit>& units) {
  ReadUnit unit = WholeBlock(block);
  const uint64_t end_granule = (unit.block_end + kGranuleBytes - 1) / kGranuleBytes;
  if (first * kGranuleBytes > unit.block_begin) {
    unit.starts_begin = first * kGranuleBytes;
    unit.read_begin = FirstStart(index, first, last + 1, unit.block_end);
    if (unit.read_begin >= unit.block_end) return;
  }
  unit.starts_end = std::min(unit.block_end, (last + 1) * kGranuleBytes);
  // The last packet may reach beyond its granule, over any number of granules in which none starts.
  unit.read_end = FirstStart(index, last + 1, end_granule, unit.block_end);
  units.push_back(unit);
}

void PlanBlock(const BlockEntry& block, const FlowIndex& index, std::span<const uint32_t> granules,
               std::vector<ReadUnit>& units) {
  const uint64_t block_end = block.file_offset + block.used_bytes;
  const auto begin = std::ranges::lower_bound(granules, block.file_offset / kGranuleBytes);
  const auto end =
      std::ranges::lower_bound(begin, granules.end(), (block_end + kGranuleBytes - 1) / kGranuleBytes);
  for (auto at = begin; at != end;) {
    const uint64_t first = *at;
    uint64_t last = first;
    for (++at; at != end; ++at) {
      const bool near = (*at - last - 1) * kGranuleBytes <= kMaxReadGap;
      const bool fits = (*at + 1 - first) * kGranuleBytes <= kMaxReadBytes;
      if (!near || !fits) break;
      last = *at;
    }
    AddUnit(block, index, first, last, units);
  }
}

}  // namespace

ReadUnit WholeBlock(const BlockEntry& block) {
  const uint64_t end = block.file_offset + block.used_bytes;
  const bool enclosing = (block.flags & kEnclosingTimes) != 0;
  constexpr int64_t kWider = kEnclosingSlackNs - kArrivalNs;
  return {.first_ns = enclosing ? std::min(block.first_ns, INT64_MAX - kWider) + kWider : block.first_ns,
          .block_begin = block.file_offset,
          .block_end = end,
          .read_begin = block.file_offset,
          .read_end = end,
          .starts_begin = block.file_offset,
          .starts_end = end};
}

bool IsReadable(const BlockEntry& block) {
  return block.used_bytes >= kKernelHeaderBytes && block.used_bytes <= kMaxBlockBytes &&
         block.file_offset <= kMaxBlockOffset;
}

std::vector<ReadUnit> PlanScan(std::span<const BlockEntry> blocks, const TimeRange& bounds) {
  std::vector<ReadUnit> units;
  for (const BlockEntry& block : blocks) {
    if (InBounds(block, bounds)) units.push_back(WholeBlock(block));
  }
  return units;
}

std::vector<ReadUnit> PlanGranules(std::span<const BlockEntry> blocks, const TimeRange& bounds,
                                   const FlowIndex& index, std::span<const uint32_t> granules) {
  std::vector<ReadUnit> units;
  for (const BlockEntry& block : blocks) {
    if (!InBounds(block, bounds)) continue;
    if ((block.flags & kBlockUnindexed) != 0) {
      units.push_back(WholeBlock(block));
    } else {
      PlanBlock(block, index, granules, units);
    }
  }
  return units;
}

void SortByTime(std::vector<ReadUnit>& units) {
  std::ranges::sort(units, {},
                    [](const ReadUnit& unit) { return std::tuple(unit.first_ns, unit.read_begin); });
}

}  // namespace steno
