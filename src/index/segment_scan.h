// Questions to a segment as it is in memory: every flow's key is parsed, every pair is looked at. Pure
// functions, thread-safe. The content is untrusted: a key that does not parse makes its flow "may match
// anything"; ids and offsets outside the snapshot are ignored.
#pragma once

#include <cstdint>
#include <vector>

#include "index/flow_index.h"
#include "index/segment.h"

namespace steno {

// As FlowIndex::MatchAmong().
FlowMatch ScanFlows(const SegmentSnapshot& segment, const Term& term, const FlowSet* candidates);

// As FlowIndex::Granules().
std::vector<uint32_t> ScanGranules(const SegmentSnapshot& segment, const FlowSet& flows);

}  // namespace steno
