// What a parser has read so far: an expression and its depth; and the limits on both syntaxes' trees.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "query/expression.h"
#include "query/packet_filter.h"

namespace steno::internal {

struct SyntaxNode {
  ExpressionPtr expression;
  unsigned depth = 1;  // levels of the tree: 1 for a term
};

// Builds nodes within kMaxQueryDepth, kMaxQueryTerms and kMaxQueryFilters; `column` is for the error.
class TreeLimits {
 public:
  Result<SyntaxNode> Leaf(const Term& term, uint32_t column);
  Result<SyntaxNode> Leaf(const TimeRange& range, uint32_t column);
  // `implied`: what every packet that matches fulfils.
  Result<SyntaxNode> Filter(std::string text, PacketFilter::Reach reach, std::vector<ExpressionPtr> implied,
                            uint32_t column);
  static Result<SyntaxNode> Group(NodeKind kind, std::vector<SyntaxNode> nodes, uint32_t column);
  static Result<SyntaxNode> Not(const SyntaxNode& node, uint32_t column);
  static Error TooDeep(uint32_t column);

 private:
  Status CountTerm(uint32_t column);

  unsigned terms_ = 0;
  unsigned filters_ = 0;
};

}  // namespace steno::internal
