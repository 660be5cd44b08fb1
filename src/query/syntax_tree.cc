#include "query/syntax_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "query/lexer.h"
#include "query/parse.h"

namespace steno::internal {

Status TreeLimits::CountTerm(uint32_t column) {
  if (++terms_ <= kMaxQueryTerms) return {};
  return Fail(QueryError(column, fmt::format("too many terms: a query has at most {}", kMaxQueryTerms)));
}

Result<SyntaxNode> TreeLimits::Leaf(const Term& term, uint32_t column) {
  STENO_CHECK_OK(CountTerm(column));
  return SyntaxNode{MakeTerm(term)};
}

Result<SyntaxNode> TreeLimits::Leaf(const TimeRange& range, uint32_t column) {
  STENO_CHECK_OK(CountTerm(column));
  return SyntaxNode{MakeTime(range)};
}

Result<SyntaxNode> TreeLimits::Filter(std::string text, PacketFilter::Reach reach,
                                      std::vector<ExpressionPtr> implied, uint32_t column) {
  STENO_CHECK_OK(CountTerm(column));
  if (++filters_ > kMaxQueryFilters) {
    return Fail(QueryError(
        column, fmt::format("too many comparisons of bytes: a query has at most {}", kMaxQueryFilters)));
  }
  const std::string shown = Shorten(text);
  auto filter = PacketFilter::Compile(std::move(text), reach);
  if (!filter) return Fail(QueryError(column, fmt::format("{}: {}", shown, filter.error().message)));
  return SyntaxNode{
      MakePacketFilter(std::move(*filter), implied.empty() ? nullptr : MakeAnd(std::move(implied)))};
}

Result<SyntaxNode> TreeLimits::Group(NodeKind kind, std::vector<SyntaxNode> nodes, uint32_t column) {
  if (nodes.size() == 1) return std::move(nodes[0]);
  unsigned depth = 0;
  std::vector<ExpressionPtr> children;
  for (SyntaxNode& node : nodes) {
    // A child of the same kind is merged into the new node.
    depth = std::max(depth, node.expression->kind == kind ? node.depth : node.depth + 1);
    children.push_back(std::move(node.expression));
  }
  if (depth > kMaxQueryDepth) return Fail(TooDeep(column));
  return SyntaxNode{kind == NodeKind::kAnd ? MakeAnd(std::move(children)) : MakeOr(std::move(children)),
                    depth};
}

Result<SyntaxNode> TreeLimits::Not(const SyntaxNode& node, uint32_t column) {
  const unsigned depth = node.expression->kind == NodeKind::kNot ? node.depth - 1 : node.depth + 1;
  if (depth > kMaxQueryDepth) return Fail(TooDeep(column));
  return SyntaxNode{MakeNot(node.expression), depth};
}

Error TreeLimits::TooDeep(uint32_t column) {
  return QueryError(column, fmt::format("nested too deep: a query has at most {} levels", kMaxQueryDepth));
}

}  // namespace steno::internal
