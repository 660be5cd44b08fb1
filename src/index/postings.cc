#include "index/postings.h"

#include <algorithm>

#include "base/crc32c.h"

namespace steno {
namespace {

// Granules by flow of the segment, in compressed rows: those of flow f are granules[starts[f]] ..
// granules[starts[f+1]].
struct Transposed {
  std::vector<uint32_t> starts;
  std::vector<uint32_t> granules;

  // Without repetitions, which only a hostile segment has.
  std::span<const uint32_t> Of(uint32_t flow) {
    const auto row = std::span(granules).subspan(starts[flow], starts[flow + 1] - starts[flow]);
    return {row.begin(), std::unique(row.begin(), row.end())};
  }
};

Transposed Transpose(const SegmentSnapshot& segment) {
  const auto flows = static_cast<uint32_t>(segment.flow_refs.size());
  // One private copy of what another process could change between the two passes.
  const std::vector<uint32_t> pairs(segment.pairs.begin(), segment.pairs.end());
  Transposed result;
  result.starts.resize(size_t{flows} + 2);
  for (const uint32_t flow : pairs) {
    if (flow < flows) ++result.starts[size_t{flow} + 2];
  }
  for (size_t i = 2; i < result.starts.size(); ++i) result.starts[i] += result.starts[i - 1];
  result.granules.resize(result.starts.back());
  const auto granules = static_cast<uint32_t>(segment.granule_starts.size());
  uint64_t pair = 0;
  for (uint32_t granule = 0; granule < granules; ++granule) {
    const uint64_t end = granule + 1 < granules
                             ? std::min<uint64_t>(segment.granule_starts[granule + 1], pairs.size())
                             : pairs.size();
    for (; pair < end; ++pair) {
      // starts[f + 1] is the place of the next granule of f until all are placed, then where f + 1 begins.
      if (pairs[pair] < flows) result.granules[result.starts[size_t{pairs[pair]} + 1]++] = granule;
    }
  }
  result.starts.pop_back();
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

PostingSections BuildPostings(const SegmentSnapshot& segment, const FlowOrder& order) {
  Transposed transposed = Transpose(segment);
  const auto granules = static_cast<uint32_t>(segment.granule_starts.size());
  PostingSections out;
  BitWriter bits;
  const auto end_group = [&] {
    Bytes& group = bits.Finish();
    AppendLe(out.groups, static_cast<uint32_t>(out.postings.size()));
    AppendLe(out.groups, Crc32c(group));
    out.postings.insert(out.postings.end(), group.begin(), group.end());
    group.clear();
  };
  uint32_t in_group = 0;
  order.ForEachId([&](uint32_t id) {
    EncodeFlow(transposed.Of(id), GranuleBits(granules), bits);
    if (++in_group == kFlowsPerPostingGroup) {
      end_group();
      in_group = 0;
    }
  });
  if (in_group > 0) end_group();
  return out;
}

}  // namespace steno
