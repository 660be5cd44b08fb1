#include "query/may_match.h"

#include <algorithm>

namespace steno {

bool MayMatch(const Expression& expression, const TimeSpan& span,
              const std::function<bool(const Address&)>& may_hold) {
  const auto child_may_match = [&](const ExpressionPtr& child) { return MayMatch(*child, span, may_hold); };
  switch (expression.kind) {
    case NodeKind::kAnd:
    case NodeKind::kFilter:
      return std::ranges::all_of(expression.children, child_may_match);
    case NodeKind::kOr:
      return std::ranges::any_of(expression.children, child_may_match);
    case NodeKind::kTime:
      return Overlaps(expression.time, span);
    case NodeKind::kTerm: {
      const Term& term = expression.term;
      const bool one_address = term.kind == TermKind::kAddress && term.addresses.first == term.addresses.last;
      return !one_address || may_hold(term.addresses.first);
    }
    default:
      // What is denied, or asks for something else, may match whatever addresses there are.
      return true;
  }
}

}  // namespace steno
