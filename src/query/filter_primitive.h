// The primitives of the pcap-filter syntax: "tcp src port 80", "net 10.0.0.0/8", "after 3h ago".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "query/lexer.h"
#include "query/syntax_tree.h"
#include "query/values.h"

namespace steno::internal {

// What a value is of; said by the word in front of it.
enum class ValueType : uint8_t { kHost, kNet, kPort, kPortRange, kProto };

// A word for a protocol: what it asks for alone, and what it means in front of a value.
struct ProtocolWord {
  std::string_view name;
  std::optional<Term> alone;   // nullopt: it cannot stand alone
  std::string_view goes_with;  // types of value, each followed by a space
  uint8_t layer_kinds = 0;     // of "ip host", "ip6 proto"
  int16_t port_protocol = -1;  // of "tcp port"
};

// Null if `word` is none of them.
const ProtocolWord* FindProtocolWord(std::string_view word);

// Reads one primitive at a time from `cursor`. Remembers the qualifiers of the last one for bare values
// ("port 80 or 443").
class PrimitiveParser {
 public:
  // Both must outlive this.
  PrimitiveParser(TokenCursor& cursor, TreeLimits& limits, int64_t now_ns)
      : cursor_(cursor), limits_(limits), now_ns_(now_ns) {}

  // nullopt: only the qualifiers were read, and their values follow in parentheses: "port (80 or 443)".
  // `after` is the token in front, for messages; `values_only`: inside such parentheses, where nothing but
  // values may stand.
  Result<std::optional<SyntaxNode>> Parse(std::string_view after, bool values_only);

  // "tcp[13] & 2 != 0". REQUIRES: StartsRelation() of the cursor.
  Result<SyntaxNode> ParseRelation();

 private:
  // What stands before a value.
  struct Qualifiers {
    const ProtocolWord* protocol = nullptr;
    std::optional<Side> side;
    ValueType type = ValueType::kHost;
    std::string text;  // "tcp src port ", for messages

    [[nodiscard]] bool ether() const;
  };

  Result<std::optional<SyntaxNode>> ParseKeyword(const Token& word);
  Result<std::optional<SyntaxNode>> ParseQualified(Qualifiers qualifiers);
  Status TakeSide(Qualifiers& qualifiers);
  Status TakeType(Qualifiers& qualifiers);

  Result<SyntaxNode> ParseValue(const Qualifiers& qualifiers);
  Result<SyntaxNode> ParseAddressValue(const Qualifiers& qualifiers, const Token& value);
  Result<SyntaxNode> ParseProtocolValue(const Qualifiers& qualifiers, const Token& value);
  Result<SyntaxNode> ParsePortValue(const Qualifiers& qualifiers, const Token& value);
  Result<SyntaxNode> ParseNumberValue(const Qualifiers& qualifiers, const Token& value);
  Result<SyntaxNode> ParseTag(const Token& word, TermKind kind, const NumberKind& number);
  Result<SyntaxNode> ParseTimeBound(const Token& word);
  Result<int64_t> ParseTimeValue(std::string_view primitive);

  TokenCursor& cursor_;
  TreeLimits& limits_;
  int64_t now_ns_;
  std::optional<Qualifiers> last_;
};

}  // namespace steno::internal
