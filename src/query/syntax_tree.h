// What a parser has read so far: an expression and its depth; and the limits on both syntaxes' trees.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "query/expression.h"

namespace steno::internal {

struct SyntaxNode {
  ExpressionPtr expression;
  unsigned depth = 1;  // levels of the tree: 1 for a term
};

// Builds nodes within kMaxQueryDepth and kMaxQueryTerms; `column` is for the error.
class TreeLimits {
 public:
  Result<SyntaxNode> Leaf(const Term& term, uint32_t column);
  Result<SyntaxNode> Leaf(const TimeRange& range, uint32_t column);
  static Result<SyntaxNode> Group(NodeKind kind, std::vector<SyntaxNode> nodes, uint32_t column);
  static Result<SyntaxNode> Not(const SyntaxNode& node, uint32_t column);
  static Error TooDeep(uint32_t column);

 private:
  Status CountTerm(uint32_t column);

  unsigned terms_ = 0;
};

}  // namespace steno::internal
