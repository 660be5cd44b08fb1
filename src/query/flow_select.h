// Which flows of one file can answer a query: an expression evaluated on the flow records of an index.
//
// Pure functions over a FlowIndex; thread-safe as far as the index is. Errors are the index's own: kStale
// when a live segment was reset meanwhile, kCorrupt when a section of a sealed index is damaged; or
// kCancelled.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "index/flow_index.h"
#include "query/expression.h"

namespace steno {

// The times between which all packets of a file lie, both included.
struct TimeSpan {
  int64_t first_ns = INT64_MAX;
  int64_t last_ns = INT64_MIN;
};

// Of blocks with packets: others have no times.
TimeSpan SpanOf(std::span<const BlockEntry> blocks);

// True if some time can be inside both.
bool Overlaps(const TimeRange& range, const TimeSpan& span);

// True if no node of the expression asks about anything but the time.
bool AsksOnlyForTime(const Expression& expression);

// Three-valued logic on sets of flows: `may` has every flow with a packet that matches, `must` only flows of
// which all packets match. `span` bounds the times of the packets.
// `candidates`: as for FlowIndex::MatchAmong().
Result<FlowMatch> SelectFlows(const Expression& expression, const FlowIndex& index, const TimeSpan& span,
                              const FlowSet* candidates = nullptr);

}  // namespace steno
