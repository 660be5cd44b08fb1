#include "index/segment_scan.h"

#include <algorithm>

#include "packet/flow_key.h"

namespace steno {

FlowMatch ScanFlows(const SegmentSnapshot& segment, const Term& term) {
  const auto flows = static_cast<uint32_t>(segment.flow_refs.size());
  FlowMatch match{FlowSet(flows), FlowSet(flows)};
  FlowKey key;
  PacketHeaders headers;
  for (uint32_t flow = 0; flow < flows; ++flow) {
    Tri answer = Tri::kMaybe;
    if (segment.CopyKey(flow, key) && ParseFlowKey(key.kind, key.view(), headers))
      answer = MatchesFlow(term, headers);
    if (answer != Tri::kNo) match.may.Add(flow);
    if (answer == Tri::kYes) match.must.Add(flow);
  }
  return match;
}

std::vector<uint32_t> ScanGranules(const SegmentSnapshot& segment, const FlowSet& flows) {
  std::vector<uint32_t> granules;
  const auto& starts = segment.granule_starts;
  const uint64_t pairs = segment.pairs.size();
  const auto known_flows = std::min(flows.size(), static_cast<uint32_t>(segment.flow_refs.size()));
  for (uint32_t granule = 0; granule < starts.size(); ++granule) {
    const uint64_t end = granule + 1 < starts.size() ? std::min<uint64_t>(starts[granule + 1], pairs) : pairs;
    for (uint64_t pair = starts[granule]; pair < end; ++pair) {
      const uint32_t flow = __atomic_load_n(&segment.pairs[pair], __ATOMIC_RELAXED);
      if (flow < known_flows && flows.Has(flow)) {
        granules.push_back(granule);
        break;
      }
    }
  }
  return granules;
}

}  // namespace steno
