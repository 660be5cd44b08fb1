#include "query/filter_relation.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "query/byte_sources.h"
#include "query/values.h"

namespace steno::internal {

namespace {

constexpr unsigned kMaxNesting = 16;  // programs grow with its square
constexpr size_t kMaxRelationBytes = 1024;
constexpr NumberKind kAnyNumber{"a value", 0, UINT32_MAX};
constexpr const char* kOperand =
    "expected a number, len, a name such as tcp-syn, or bytes such as ip[0] or tcp[2:2]";

// Names of numbers, as in pcap-filter(7), with a blank before and behind each.
constexpr std::string_view kConstants =
    " icmptype icmpcode icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo"
    " icmp-routeradvert icmp-routersolicit icmp-timxceed icmp-paramprob icmp-tstamp icmp-tstampreply"
    " icmp-ireq icmp-ireqreply icmp-maskreq icmp-maskreply"
    " icmp6type icmp6code icmp6-destinationunreach icmp6-packettoobig icmp6-timeexceeded"
    " icmp6-parameterproblem icmp6-echo icmp6-echoreply icmp6-multicastlistenerquery"
    " icmp6-multicastlistenerreportv1 icmp6-multicastlistenerdone icmp6-routersolicit icmp6-routeradvert"
    " icmp6-neighborsolicit icmp6-neighboradvert icmp6-redirect icmp6-routerrenum"
    " icmp6-nodeinformationquery icmp6-nodeinformationresponse icmp6-ineighbordiscoverysolicit"
    " icmp6-ineighbordiscoveryadvert icmp6-multicastlistenerreportv2 icmp6-homeagentdiscoveryrequest"
    " icmp6-homeagentdiscoveryreply icmp6-mobileprefixsolicit icmp6-mobileprefixadvert"
    " icmp6-certpathsolicit icmp6-certpathadvert icmp6-multicastrouteradvert icmp6-multicastroutersolicit"
    " icmp6-multicastrouterterm"
    " tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr ";

bool IsConstant(std::string_view name) {
  return kConstants.find(fmt::format(" {} ", LowerCase(name))) != std::string_view::npos;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Reads one relation from left to right, byte by byte (here "-" is an operator and ":" goes into brackets,
// unlike in words), and writes it down again with blanks in one way.
class RelationReader {
 public:
  RelationReader(std::string_view query, size_t at) : query_(query), at_(at) {}

  Status Read() {
    STENO_CHECK_OK(ReadArithmetic(0, true));
    STENO_CHECK_OK(ReadComparison());
    STENO_CHECK_OK(ReadArithmetic(0, true));
    if (text_.size() <= kMaxRelationBytes) return {};
    return FailHere(fmt::format("a comparison has at most {} bytes", kMaxRelationBytes));
  }

  [[nodiscard]] size_t at() const { return at_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] PacketFilter::Reach reach() const { return reach_; }
  std::vector<ExpressionPtr>& implied() { return implied_; }

 private:
  // Operands with operators between; precedence is libpcap's affair. `leads`: this is the left end of its
  // side of the comparison. libpcap checks only there that the packet has the protocol whose bytes are asked
  // for.
  Status ReadArithmetic(unsigned nesting, bool leads) {
    if (nesting > kMaxNesting)
      return FailHere(fmt::format("a comparison has at most {} levels", kMaxNesting));
    for (;;) {
      STENO_CHECK_OK(ReadOperand(nesting, std::exchange(leads, false)));
      SkipSpace();
      const std::string_view op = Operator();
      if (op.empty()) return {};
      at_ += op.size();
      text_ += fmt::format(" {} ", op);
    }
  }

  Status ReadOperand(unsigned nesting, bool leads) {
    SkipSpace();
    while (Take("-")) text_ += '-', SkipSpace();
    if (Take("(")) {
      text_ += '(';
      STENO_CHECK_OK(ReadArithmetic(nesting + 1, leads));
      if (!Take(")")) return FailFound("expected an operator or \")\"");
      text_ += ')';
      return {};
    }
    const Token word = TakeWord();
    if (word.text.empty()) return FailFound(kOperand);
    if (IsDigit(word.text[0])) return AddNumber(word);
    SkipSpace();
    if (Take("[")) return ReadBytes(word, nesting, leads);
    if (!EqualsIgnoringCase(word.text, "len") && !IsConstant(word.text)) {
      return Fail(QueryError(word.column, fmt::format("{}, found {}", kOperand, Describe(word))));
    }
    text_ += LowerCase(word.text);
    return {};
  }

  // "tcp[2:2]", from behind the bracket.
  Status ReadBytes(const Token& word, unsigned nesting, bool leads) {
    const ByteSource* source = FindByteSource(word.text);
    if (source == nullptr) {
      return Fail(
          QueryError(word.column, fmt::format("\"{}[...]\" has no bytes to ask for; those with are {}",
                                              Shorten(word.text), ByteSourceNames())));
    }
    if (source->reach == PacketFilter::Reach::kLayers) reach_ = source->reach;
    if (leads && source->implied) implied_.push_back(source->implied);
    text_ += fmt::format("{}[", source->name);
    STENO_CHECK_OK(ReadArithmetic(nesting + 1, leads));
    if (Take(":")) {
      SkipSpace();
      const Token size = TakeWord();
      if (size.text != "1" && size.text != "2" && size.text != "4")
        return Fail(QueryError(size.column, "expected a number of bytes after \":\": 1, 2 or 4"));
      text_ += fmt::format(":{}", size.text);
      SkipSpace();
    }
    if (!Take("]")) return FailFound("expected an operator, \":\" or \"]\"");
    text_ += ']';
    return {};
  }

  Status ReadComparison() {
    static constexpr std::array<std::pair<const char*, const char*>, 7> kComparisons = {
        {{"==", "="}, {"!=", "!="}, {"<=", "<="}, {">=", ">="}, {"=", "="}, {"<", "<"}, {">", ">"}}};
    for (const auto& [written, canonical] : kComparisons) {
      if (!Take(written)) continue;
      text_ += fmt::format(" {} ", canonical);
      return {};
    }
    return FailFound("expected an operator or a comparison: = != < <= > >=");
  }

  Status AddNumber(const Token& word) {
    STENO_TRY(const uint32_t number, ParseNumber("", word, kAnyNumber));
    text_ += fmt::format("{}", number);
    return {};
  }

  // "+", "<<", ...; empty if the arithmetic ends here.
  [[nodiscard]] std::string_view Operator() const {
    const std::string_view pair = query_.substr(at_, 2);
    if (pair == "&&" || pair == "||" || pair.empty()) return {};
    if (pair == "<<" || pair == ">>") return pair;
    return std::string_view("+-*/%&|^").find(pair[0]) == std::string_view::npos ? std::string_view()
                                                                                : pair.substr(0, 1);
  }

  void SkipSpace() {
    while (at_ < query_.size() && (query_[at_] == ' ' || (query_[at_] >= '\t' && query_[at_] <= '\r'))) ++at_;
  }

  bool Take(std::string_view symbol) {
    if (!query_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }

  // A number, or a name, which may have "-" inside. Empty if there is neither.
  Token TakeWord() {
    const size_t begin = at_;
    const auto is_word = [&](char c) {
      return IsDigit(c) || IsLetter(c) || (c == '-' && IsLetter(query_[begin]));
    };
    while (at_ < query_.size() && is_word(query_[at_])) ++at_;
    return {TokenKind::kWord, query_.substr(begin, at_ - begin), static_cast<uint32_t>(begin + 1)};
  }

  [[nodiscard]] tl::unexpected<Error> FailHere(std::string problem) const {
    return Fail(QueryError(static_cast<uint32_t>(at_ + 1), std::move(problem)));
  }
  [[nodiscard]] tl::unexpected<Error> FailFound(std::string_view expected) const {
    const TokenCursor rest(query_.substr(at_));
    return Fail(QueryError(static_cast<uint32_t>(at_) + rest.Peek().column,
                           fmt::format("{}, found {}", expected, Describe(rest.Peek()))));
  }

  std::string_view query_;
  size_t at_;
  std::string text_;
  PacketFilter::Reach reach_ = PacketFilter::Reach::kFrame;
  std::vector<ExpressionPtr> implied_;
};

bool IsNumber(std::string_view word) {
  if (word.starts_with("0x") || word.starts_with("0X")) return true;
  return word.find_first_not_of("0123456789") == std::string_view::npos;
}

// An operator, or a comparison, between two operands.
bool IsOperator(const TokenCursor& cursor, size_t at) {
  const Token& token = cursor.Peek(at);
  switch (token.kind) {
    case TokenKind::kEquals:
    case TokenKind::kPipe:
    case TokenKind::kSlash:
      return true;
    case TokenKind::kNot:
      return token.text == "!" && cursor.Peek(at + 1).kind == TokenKind::kEquals;
    case TokenKind::kOther:
      return std::string_view("&*%^<>").find(token.text[0]) != std::string_view::npos;
    case TokenKind::kWord:
      return token.text[0] == '-' || token.text[0] == '+';
    default:
      return false;
  }
}

// An operand that is nothing but one, whatever follows.
bool IsOperand(const TokenCursor& cursor, size_t at) {
  const Token& token = cursor.Peek(at);
  if (token.kind != TokenKind::kWord) return false;
  return cursor.Peek(at + 1).text == "[" || token.text[0] == '-' || EqualsIgnoringCase(token.text, "len") ||
         IsConstant(token.text);
}

// The place behind the parenthesis that matches the one at `at`.
size_t BehindParenthesis(const TokenCursor& cursor, size_t at) {
  unsigned open = 0;
  for (; cursor.Peek(at).kind != TokenKind::kEnd; ++at) {
    if (cursor.Peek(at).kind == TokenKind::kOpen) ++open;
    if (cursor.Peek(at).kind == TokenKind::kClose && --open == 0) return at + 1;
  }
  return at;
}

}  // namespace

bool StartsRelation(const TokenCursor& cursor) {
  const Token& first = cursor.Peek();
  if (first.kind == TokenKind::kOpen) {
    size_t at = 0;
    while (cursor.Peek(at).kind == TokenKind::kOpen) ++at;
    const Token& inner = cursor.Peek(at);
    const bool operand = IsOperand(cursor, at) || (inner.kind == TokenKind::kWord && IsNumber(inner.text));
    return operand && IsOperator(cursor, BehindParenthesis(cursor, 0));
  }
  if (first.kind != TokenKind::kWord) return false;
  if (IsOperand(cursor, 0)) return true;
  // A number alone can be a value ("port 80 or 443"), also before a slash ("net 10/8 or 11/8").
  if (!IsNumber(first.text) || !IsOperator(cursor, 1)) return false;
  return cursor.Peek(1).kind != TokenKind::kSlash || cursor.Peek(2).kind == TokenKind::kOpen ||
         cursor.Peek(3).text == "[" || IsOperator(cursor, 3);
}

Result<SyntaxNode> ParseRelation(TokenCursor& cursor, TreeLimits& limits) {
  const uint32_t column = cursor.Peek().column;
  RelationReader reader(cursor.text(), column - 1);
  STENO_CHECK_OK(reader.Read());
  STENO_CHECK_OK(cursor.SkipTo(reader.at()));
  return limits.Filter(reader.text(), reader.reach(), std::move(reader.implied()), column);
}

}  // namespace steno::internal
