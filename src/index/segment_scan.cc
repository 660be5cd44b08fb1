#include "index/segment_scan.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "packet/plain_key.h"

namespace steno {
namespace {

// The key of a flow of kind kV4 or kV6, copied, so that a writer cannot change it meanwhile. False for others
// and for keys outside the snapshot.
bool CopyPlainKey(const SegmentSnapshot& segment, uint32_t flow, FlowKind& kind,
                  std::array<uint8_t, kV6FlowKeyBytes>& out) {
  const FlowRef ref{__atomic_load_n(&segment.flow_refs[flow].packed, __ATOMIC_RELAXED)};
  kind = ref.kind();
  const size_t at = ref.heap_offset();
  const uint8_t* const heap = segment.key_heap.data();
  if (kind == FlowKind::kV4 && at + kV4FlowKeyBytes <= segment.key_heap.size()) {
    std::memcpy(out.data(), heap + at, kV4FlowKeyBytes);
    return true;
  }
  if (kind != FlowKind::kV6 || at + kV6FlowKeyBytes > segment.key_heap.size()) return false;
  std::memcpy(out.data(), heap + at, kV6FlowKeyBytes);
  return true;
}

}  // namespace

FlowMatch ScanFlows(const SegmentSnapshot& segment, const Term& term, const FlowSet* candidates) {
  const auto flows = static_cast<uint32_t>(segment.flow_refs.size());
  FlowMatch match{FlowSet(flows), FlowSet(flows)};
  FlowKey key;
  PacketHeaders headers;
  const PlainKeyFilter filter(term);
  FlowKind kind{};
  std::array<uint8_t, kV6FlowKeyBytes> plain;
  for (uint32_t flow = 0; flow < flows; ++flow) {
    if (candidates != nullptr && !candidates->Has(flow)) continue;
    // Most flows are ruled out: without parsing them this takes a tenth of the time.
    if (CopyPlainKey(segment, flow, kind, plain) && filter.RulesOut(kind, plain.data())) continue;
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
