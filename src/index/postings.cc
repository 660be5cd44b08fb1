#include "index/postings.h"

#include <algorithm>

#include "base/crc32c.h"

namespace steno {
namespace {

// How far ahead lists are fetched that lie all over the memory.
constexpr size_t kPrefetchLists = 16;

// Granules by flow of the segment, in compressed rows: those of flow f are granules[starts[f]] ..
// granules[starts[f+1]].
struct Transposed {
  std::span<uint32_t> starts;
  std::span<uint32_t> granules;

  // Without repetitions, which only a hostile segment has.
  [[nodiscard]] std::span<const uint32_t> Of(uint32_t flow) const {
    const uint32_t first = starts[flow];
    const auto row = granules.subspan(first, std::max(first, starts[flow + 1]) - first);
    if (row.size() < 2) return row;
    return {row.begin(), std::unique(row.begin(), row.end())};
  }
};

Result<Transposed> Transpose(const SegmentSnapshot& segment, Scratch& scratch) {
  const auto flows = static_cast<uint32_t>(segment.flow_refs.size());
  const auto pairs = static_cast<uint32_t>(segment.pairs.size());
  Transposed result;
  STENO_TRY(result.starts, scratch.Take<uint32_t>(size_t{flows} + 2));
  std::ranges::fill(result.starts, 0u);
  for (const uint32_t flow : segment.pairs) {
    if (flow < flows) ++result.starts[size_t{flow} + 2];
  }
  for (size_t i = 2; i < result.starts.size(); ++i) result.starts[i] += result.starts[i - 1];
  STENO_TRY(result.granules, scratch.Take<uint32_t>(result.starts.back()));
  const auto granules = static_cast<uint32_t>(segment.granule_starts.size());
  uint32_t pair = 0;
  for (uint32_t granule = 0; granule < granules; ++granule) {
    const uint32_t end =
        granule + 1 < granules ? std::min(segment.granule_starts[granule + 1], pairs) : pairs;
    for (; pair < end; ++pair) {
      const uint32_t flow = segment.pairs[pair];
      // starts[f + 1] is the place of the next granule of f until all are placed, then where f + 1 begins.
      if (flow >= flows) continue;
      uint32_t& place = result.starts[size_t{flow} + 1];
      // The other process could change a pair between the two passes.
      if (place < result.granules.size()) result.granules[place++] = granule;
    }
  }
  result.starts = result.starts.first(size_t{flows} + 1);
  return result;
}

void EncodeFlow(std::span<const uint32_t> granules, unsigned granule_bits, BitWriter& bits) {
  // A flow without a pair cannot come from a builder; the first granule then stands in for "unknown".
  static constexpr uint32_t kNone[] = {0};
  if (granules.empty()) granules = kNone;
  uint32_t previous = granules[0];
  bits.PutExpGolomb(static_cast<uint32_t>(granules.size()) - 1, 0);
  bits.Put(previous, granule_bits);
  uint32_t delta = kInitialDelta;
  for (const uint32_t granule : granules.subspan(1)) {
    const unsigned order = DeltaOrder(delta);
    delta = granule - previous - 1;
    bits.PutExpGolomb(delta, order);
    previous = granule;
  }
}

}  // namespace

Status WritePostings(const FlowOrder& order, Scratch& scratch, SealedWriter& writer) {
  const Scratch::Mark temporary(scratch);
  STENO_TRY(const Transposed transposed, Transpose(*order.segment, scratch));
  const unsigned granule_bits = GranuleBits(static_cast<uint32_t>(order.segment->granule_starts.size()));
  Bytes groups;
  BitWriter bits;
  uint32_t offset = 0;
  writer.Begin(SectionId::kPostings);
  for (uint32_t first = 0; first < order.count(); first += kFlowsPerPostingGroup) {
    const uint32_t end = std::min(first + kFlowsPerPostingGroup, order.count());
    for (uint32_t flow = first; flow < end; ++flow) {
      if (flow + 2 * kPrefetchLists < order.count()) {
        __builtin_prefetch(&transposed.starts[order.ids[flow + 2 * kPrefetchLists]]);
        __builtin_prefetch(transposed.granules.data() + transposed.starts[order.ids[flow + kPrefetchLists]]);
      }
      EncodeFlow(transposed.Of(order.ids[flow]), granule_bits, bits);
    }
    const auto group = bits.Finish();
    AppendLe(groups, offset);
    AppendLe(groups, Crc32c(group));
    offset += static_cast<uint32_t>(group.size());
    writer.Append(group);
    bits.Clear();
  }
  STENO_CHECK_OK(writer.End());
  return writer.Add(SectionId::kPostingGroups, groups);
}

}  // namespace steno
