#include "query/original_parser.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "query/lexer.h"
#include "query/syntax_tree.h"
#include "query/time_parse.h"
#include "query/values.h"

namespace steno::internal {

namespace {

constexpr std::array<std::string_view, 5> kKeys = {"ip", "port", "protocol", "proto", "last"};

bool IsKey(const Token& token) {
  if (token.kind != TokenKind::kWord) return false;
  for (const std::string_view key : kKeys) {
    if (EqualsIgnoringCase(token.text, key)) return true;
  }
  return false;
}

class OriginalParser {
 public:
  OriginalParser(std::string_view text, int64_t now_ns) : cursor_(text), now_ns_(now_ns) {}

  // White space intersects what "|" has united.
  Result<ExpressionPtr> Parse() {
    std::vector<SyntaxNode> all;
    do {
      STENO_TRY(SyntaxNode node, ParseAlternatives());
      all.push_back(std::move(node));
    } while (cursor_.Peek().kind != TokenKind::kEnd);
    STENO_TRY(SyntaxNode tree, TreeLimits::Group(NodeKind::kAnd, std::move(all), 1));
    return std::move(tree.expression);
  }

 private:
  Result<SyntaxNode> ParseAlternatives() {
    std::vector<SyntaxNode> alternatives;
    std::string_view place;
    do {
      STENO_TRY(SyntaxNode node, ParseTerm(place));
      alternatives.push_back(std::move(node));
      place = " after \"|\"";
    } while (cursor_.Take(TokenKind::kPipe));
    return TreeLimits::Group(NodeKind::kOr, std::move(alternatives), 1);
  }

  Result<SyntaxNode> ParseTerm(std::string_view place) {
    const Token key = cursor_.Next();
    if (!IsKey(key)) {
      return Fail(QueryError(key.column, fmt::format("expected ip=, port=, protocol= or last={}, found {}",
                                                     place, Describe(key))));
    }
    if (!cursor_.Take(TokenKind::kEquals)) {
      const Token& found = cursor_.Peek();
      return Fail(QueryError(
          found.column, fmt::format("expected \"=\" after \"{}\", found {}", key.text, Describe(found))));
    }
    const std::string primitive = LowerCase(key.text) + "=";
    if (primitive == "ip=") return ParseIp(primitive, key.column);
    if (primitive == "port=") return ParsePort(primitive, key.column);
    if (primitive == "last=") return ParseLast(primitive, key.column);
    return ParseProtocol(primitive, key.column);
  }

  Result<SyntaxNode> ParseIp(std::string_view primitive, uint32_t column) {
    STENO_TRY(const Token value, TakeValue(cursor_, primitive, "an address"));
    if (value.text.find('-') != std::string_view::npos) {
      STENO_TRY(const AddressRange range, ParseAddressRange(primitive, value));
      return limits_.Leaf(AddressTerm(range, kLayerBitsIp), column);
    }
    STENO_TRY(const Address address, ParseHostAddress(primitive, value));
    return limits_.Leaf(AddressTerm({address, address}, kLayerBitsIp), column);
  }

  Result<SyntaxNode> ParsePort(std::string_view primitive, uint32_t column) {
    STENO_TRY(const Token value, TakeValue(cursor_, primitive, "a port"));
    STENO_TRY(const NumberRange range, ParseNumberRange(primitive, value, kPortNumber));
    return limits_.Leaf(NumberTerm(TermKind::kPort, range), column);
  }

  Result<SyntaxNode> ParseProtocol(std::string_view primitive, uint32_t column) {
    STENO_TRY(const Token value, TakeValue(cursor_, primitive, "a protocol"));
    STENO_TRY(const NumberRange range, ParseProtocolRange(primitive, value));
    return limits_.Leaf(NumberTerm(TermKind::kProtocol, range), column);
  }

  Result<SyntaxNode> ParseLast(std::string_view primitive, uint32_t column) {
    STENO_TRY(const Token value, TakeValue(cursor_, primitive, "a duration like 45m"));
    STENO_TRY(const int64_t begin_ns, ParseTimeAgo(value.text, value.column, now_ns_));
    return limits_.Leaf(TimeRange{begin_ns, INT64_MAX}, column);
  }

  TokenCursor cursor_;
  int64_t now_ns_;
  TreeLimits limits_;
};

}  // namespace

bool IsOriginalSyntax(std::string_view text) {
  // The first two tokens decide, and the second is the first "=".
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  const TokenCursor cursor(text.substr(0, equals + 1));
  return IsKey(cursor.Peek()) && cursor.Peek(1).kind == TokenKind::kEquals;
}

Result<ExpressionPtr> ParseOriginal(std::string_view text, int64_t now_ns) {
  return OriginalParser(text, now_ns).Parse();
}

}  // namespace steno::internal
