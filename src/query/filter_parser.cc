#include "query/filter_parser.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "query/filter_primitive.h"
#include "query/filter_relation.h"
#include "query/parse.h"

namespace steno::internal {

namespace {

// What stands between primitives: and, or, not, parentheses. Recursive descent, one level per parenthesis.
class FilterParser {
 public:
  FilterParser(std::string_view text, int64_t now_ns)
      : cursor_(text), primitives_(cursor_, limits_, now_ns) {}

  Result<ExpressionPtr> Parse() {
    STENO_TRY(SyntaxNode tree, ParseExpression(""));
    const Token& rest = cursor_.Peek();
    if (rest.kind == TokenKind::kClose)
      return Fail(QueryError(rest.column, "\")\" without a \"(\" before it"));
    if (rest.kind != TokenKind::kEnd) {
      return Fail(QueryError(rest.column,
                             "expected \"and\", \"or\" or the end of the query, found " + Describe(rest)));
    }
    return std::move(tree.expression);
  }

 private:
  // `after`: the token in front, for messages.
  Result<SyntaxNode> ParseExpression(std::string_view after) {
    STENO_TRY(SyntaxNode first, ParseOperand(after));
    NodeKind kind = NodeKind::kAnd;
    std::vector<SyntaxNode> run{std::move(first)};
    uint32_t column = 1;
    while (cursor_.Peek().kind == TokenKind::kAnd || cursor_.Peek().kind == TokenKind::kOr) {
      const Token op = cursor_.Next();
      const NodeKind op_kind = op.kind == TokenKind::kAnd ? NodeKind::kAnd : NodeKind::kOr;
      if (op_kind != kind) {
        // "and" and "or" have equal precedence: everything so far is the left side of this one.
        STENO_TRY(SyntaxNode left, TreeLimits::Group(kind, std::move(run), op.column));
        run = {std::move(left)};
        kind = op_kind;
      }
      STENO_TRY(SyntaxNode right, ParseOperand(op.text));
      run.push_back(std::move(right));
      column = op.column;
    }
    return TreeLimits::Group(kind, std::move(run), column);
  }

  // Any number of "not", then a primitive or a parenthesis.
  Result<SyntaxNode> ParseOperand(std::string_view after) {
    bool negated = false;
    const uint32_t column = cursor_.Peek().column;
    while (cursor_.Peek().kind == TokenKind::kNot) {
      after = cursor_.Next().text;
      negated = !negated;
    }
    STENO_TRY(SyntaxNode node, ParsePositive(after));
    if (!negated) return node;
    return TreeLimits::Not(node, column);
  }

  Result<SyntaxNode> ParsePositive(std::string_view after) {
    if (!values_only_ && StartsRelation(cursor_)) return primitives_.ParseRelation();
    if (cursor_.Peek().kind == TokenKind::kOpen) return ParseGroup();
    STENO_TRY(std::optional<SyntaxNode> primitive, primitives_.Parse(after, values_only_));
    if (primitive) return std::move(*primitive);
    const bool outside = std::exchange(values_only_, true);
    auto group = ParseGroup();
    values_only_ = outside;
    return group;
  }

  Result<SyntaxNode> ParseGroup() {
    const Token open = cursor_.Next();
    if (++parentheses_ > kMaxQueryDepth) return Fail(TreeLimits::TooDeep(open.column));
    STENO_TRY(SyntaxNode node, ParseExpression("("));
    const Token& close = cursor_.Peek();
    if (close.kind == TokenKind::kEnd) return Fail(QueryError(open.column, "this \"(\" is not closed"));
    if (close.kind != TokenKind::kClose) {
      return Fail(QueryError(close.column, "expected \"and\", \"or\" or \")\", found " + Describe(close)));
    }
    cursor_.Next();
    --parentheses_;
    return node;
  }

  TokenCursor cursor_;
  TreeLimits limits_;
  PrimitiveParser primitives_;
  unsigned parentheses_ = 0;  // open ones
  bool values_only_ = false;  // inside "port (80 or 443)"
};

}  // namespace

Result<ExpressionPtr> ParseFilter(std::string_view text, int64_t now_ns) {
  return FilterParser(text, now_ns).Parse();
}

}  // namespace steno::internal
