#include "query/flow_select.h"

#include <algorithm>
#include <utility>

#include "base/interrupt.h"

namespace steno {
namespace {

// Addresses are dictionary look-ups and rarely common, other terms read a column of all flows: in a
// conjunction the former often end the evaluation before the latter are needed.
int Cost(const Expression& expression) {
  switch (expression.kind) {
    case NodeKind::kTime:
      return 0;
    case NodeKind::kTerm:
      return expression.term.kind == TermKind::kAddress ? 1 : 2;
    default:
      return 3;
  }
}

FlowMatch Uniform(uint32_t flows, bool may, bool must) { return {FlowSet(flows, may), FlowSet(flows, must)}; }

FlowMatch SelectByTime(const TimeRange& range, uint32_t flows, const TimeSpan& span) {
  if (!Overlaps(range, span)) return Uniform(flows, false, false);
  const bool covers = range.begin_ns <= span.first_ns && span.last_ns < range.end_ns;
  return Uniform(flows, true, covers);
}

Result<FlowMatch> SelectAll(const Expression& expression, const FlowIndex& index, const TimeSpan& span,
                            const FlowSet* candidates) {
  std::vector<const Expression*> children;
  for (const ExpressionPtr& child : expression.children) children.push_back(child.get());
  std::ranges::stable_sort(children, {}, [](const Expression* child) { return Cost(*child); });
  FlowMatch match =
      candidates != nullptr ? FlowMatch{*candidates, *candidates} : Uniform(index.flow_count(), true, true);
  for (const Expression* child : children) {
    // What a term before has ruled out is not asked about again.
    const FlowSet* const left = child == children.front() ? candidates : &match.may;
    STENO_TRY(const FlowMatch next, SelectFlows(*child, index, span, left));
    match.may.And(next.may);
    match.must.And(next.must);
    if (match.may.Empty()) break;
  }
  return match;
}

Result<FlowMatch> SelectAny(const Expression& expression, const FlowIndex& index, const TimeSpan& span,
                            const FlowSet* candidates) {
  FlowMatch match = Uniform(index.flow_count(), false, false);
  for (const ExpressionPtr& child : expression.children) {
    STENO_TRY(const FlowMatch next, SelectFlows(*child, index, span, candidates));
    match.may.Or(next.may);
    match.must.Or(next.must);
    if (match.must.Count() == match.must.size()) break;
  }
  return match;
}

}  // namespace

TimeSpan SpanOf(std::span<const BlockEntry> blocks) {
  TimeSpan span;
  for (const BlockEntry& block : blocks) {
    if (block.packet_count == 0) continue;
    span.first_ns = std::min(span.first_ns, block.first_ns);
    span.last_ns = std::max(span.last_ns, block.last_ns);
  }
  return span;
}

bool Overlaps(const TimeRange& range, const TimeSpan& span) {
  return !range.Empty() && span.first_ns <= span.last_ns && range.begin_ns <= span.last_ns &&
         span.first_ns < range.end_ns;
}

bool AsksOnlyForTime(const Expression& expression) {
  switch (expression.kind) {
    case NodeKind::kTime:
      return true;
    case NodeKind::kAnd:
    case NodeKind::kOr:
    case NodeKind::kNot:
      return std::ranges::all_of(expression.children,
                                 [](const ExpressionPtr& child) { return AsksOnlyForTime(*child); });
    default:
      return false;
  }
}

Result<FlowMatch> SelectFlows(const Expression& expression, const FlowIndex& index, const TimeSpan& span,
                              const FlowSet* candidates) {
  STENO_CHECK_OK(CheckInterrupt());
  switch (expression.kind) {
    case NodeKind::kAnd:
      return SelectAll(expression, index, span, candidates);
    case NodeKind::kOr:
      return SelectAny(expression, index, span, candidates);
    case NodeKind::kNot: {
      STENO_TRY(FlowMatch match, SelectFlows(*expression.children.front(), index, span, candidates));
      std::swap(match.may, match.must);
      match.may.Invert();
      match.must.Invert();
      return match;
    }
    case NodeKind::kTerm:
      return index.MatchAmong(expression.term, candidates);
    case NodeKind::kTime:
      return SelectByTime(expression.time, index.flow_count(), span);
    case NodeKind::kFilter: {
      // Flows know no bytes: the packets decide, of the flows with what the filter implies.
      STENO_TRY(FlowMatch match, SelectAll(expression, index, span, candidates));
      match.must = FlowSet(index.flow_count(), false);
      return match;
    }
  }
  return Uniform(index.flow_count(), true, false);
}

}  // namespace steno
