#include "query/filter_primitive.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "query/filter_relation.h"
#include "query/filter_words.h"
#include "query/net_parse.h"
#include "query/port_parse.h"
#include "query/time_parse.h"

namespace steno::internal {

namespace {

constexpr const char* kPrimitives =
    "expected a primitive such as host, net, port, portrange, proto, src, dst, ip, ip6, arp, tcp, udp, sctp, "
    "icmp, icmp6, ether, vlan, mpls, before, after, tcp[...], len, not or \"(\"";

constexpr uint32_t kEtherRarp = 0x8035;  // <linux/if_ether.h>

struct TypeWord {
  const char* word;
  ValueType type;
};

constexpr std::array<TypeWord, 5> kTypeWords = {{
    {"host", ValueType::kHost},
    {"net", ValueType::kNet},
    {"port", ValueType::kPort},
    {"portrange", ValueType::kPortRange},
    {"proto", ValueType::kProto},
}};

bool IsWord(const Token& token, std::string_view word) {
  return token.kind == TokenKind::kWord && EqualsIgnoringCase(token.text, word);
}

bool IsSide(const Token& token) { return IsWord(token, "src") || IsWord(token, "dst"); }

const TypeWord* FindTypeWord(const Token& token) {
  for (const TypeWord& entry : kTypeWords) {
    if (IsWord(token, entry.word)) return &entry;
  }
  return nullptr;
}

bool IsQualifier(const Token& token) { return IsSide(token) || FindTypeWord(token) != nullptr; }

// No keyword begins with a digit, and only addresses have a colon. A backslash introduces a protocol name.
bool LooksLikeValue(std::string_view word) {
  return (word[0] >= '0' && word[0] <= '9') || word[0] == '\\' || word.find(':') != std::string_view::npos;
}

std::string_view WithoutSpace(std::string_view text) {
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

bool PrimitiveParser::Qualifiers::ether() const { return protocol != nullptr && protocol->name == "ether"; }

Result<std::optional<SyntaxNode>> PrimitiveParser::Parse(std::string_view after, bool values_only) {
  const Token token = cursor_.Peek();
  if (token.kind != TokenKind::kWord) {
    const std::string place = after.empty() ? "" : fmt::format(" after \"{}\"", after);
    return Fail(QueryError(token.column, fmt::format("expected a term{}, found {}", place, Describe(token))));
  }
  if (LooksLikeValue(token.text)) {
    if (last_) return ParseValue(*last_);
    return Fail(QueryError(
        token.column,
        fmt::format("{}: a value needs a word before it, such as host or port", Shorten(token.text))));
  }
  if (values_only) {
    return Fail(QueryError(token.column, fmt::format("expected a value of \"{}\", found {}",
                                                     WithoutSpace(last_->text), Describe(token))));
  }
  last_.reset();
  if (IsQualifier(token)) return ParseQualified({});
  STENO_TRY(std::optional<SyntaxNode> words, ParseFilterWord(cursor_, limits_));
  if (words) return words;
  cursor_.Next();
  return ParseKeyword(token);
}

Result<SyntaxNode> PrimitiveParser::ParseRelation() {
  last_.reset();
  return internal::ParseRelation(cursor_, limits_);
}

Result<std::optional<SyntaxNode>> PrimitiveParser::ParseKeyword(const Token& word) {
  if (IsWord(word, "after") || IsWord(word, "before")) return ParseTimeBound(word);
  if (IsWord(word, "vlan")) return ParseTag(word, TermKind::kVlan, kVlanNumber);
  if (IsWord(word, "mpls")) return ParseTag(word, TermKind::kMpls, kMplsNumber);
  if (const ProtocolWord* protocol = FindProtocolWord(word.text)) {
    if (IsQualifier(cursor_.Peek())) {
      Qualifiers qualifiers;
      qualifiers.protocol = protocol;
      qualifiers.text = fmt::format("{} ", protocol->name);
      return ParseQualified(std::move(qualifiers));
    }
    if (protocol->alone) return limits_.Leaf(*protocol->alone, word.column);
    return Fail(QueryError(cursor_.Peek().column,
                           fmt::format("expected host, src, dst or proto after \"{}\", found {}",
                                       protocol->name, Describe(cursor_.Peek()))));
  }
  const int number = ProtocolOfName(word.text);
  if (number < 0) {
    return Fail(
        QueryError(word.column, fmt::format("{} is not a known primitive; {}", Describe(word), kPrimitives)));
  }
  const auto protocol = static_cast<uint32_t>(number);
  return limits_.Leaf(NumberTerm(TermKind::kProtocol, {protocol, protocol}), word.column);
}

Result<std::optional<SyntaxNode>> PrimitiveParser::ParseQualified(Qualifiers qualifiers) {
  STENO_CHECK_OK(TakeSide(qualifiers));
  STENO_CHECK_OK(TakeType(qualifiers));
  last_ = std::move(qualifiers);
  if (cursor_.Peek().kind == TokenKind::kOpen) return std::nullopt;
  return ParseValue(*last_);
}

// "src", "dst", "src or dst", "dst and src"; or nothing.
Status PrimitiveParser::TakeSide(Qualifiers& qualifiers) {
  if (!IsSide(cursor_.Peek())) return {};
  const Token side = cursor_.Next();
  const bool source = EqualsIgnoringCase(side.text, "src");
  qualifiers.side = source ? Side::kSource : Side::kDestination;
  qualifiers.text += LowerCase(side.text) + " ";
  const Token& joint = cursor_.Peek();
  if (joint.kind != TokenKind::kAnd && joint.kind != TokenKind::kOr) return {};
  const char* other = source ? "dst" : "src";
  if (!IsWord(cursor_.Peek(1), other)) {
    return Fail(QueryError(joint.column,
                           fmt::format("expected an address, a type of value or \"or {}\" after \"{}\", "
                                       "found {}",
                                       other, side.text, Describe(joint))));
  }
  const bool both = joint.kind == TokenKind::kAnd;
  qualifiers.side = both ? Side::kBoth : Side::kEither;
  qualifiers.text += fmt::format("{} {} ", both ? "and" : "or", other);
  cursor_.Next();
  cursor_.Next();
  return {};
}

// "host", "net", ...; without one it is an address.
Status PrimitiveParser::TakeType(Qualifiers& qualifiers) {
  const Token token = cursor_.Peek();
  std::string_view type = "host";
  if (const TypeWord* entry = FindTypeWord(token)) {
    qualifiers.type = entry->type;
    qualifiers.text += fmt::format("{} ", entry->word);
    type = entry->word;
    cursor_.Next();
  }
  const std::string_view context = WithoutSpace(qualifiers.text);
  if (qualifiers.protocol != nullptr &&
      qualifiers.protocol->goes_with.find(fmt::format("{} ", type)) == std::string::npos) {
    const std::string_view possible = WithoutSpace(qualifiers.protocol->goes_with);
    return Fail(QueryError(token.column,
                           possible.empty()
                               ? fmt::format("{}: \"{}\" stands alone", context, qualifiers.protocol->name)
                               : fmt::format("{}: \"{}\" goes with these only: {}", context,
                                             qualifiers.protocol->name, possible)));
  }
  if (qualifiers.side && qualifiers.type == ValueType::kProto) {
    return Fail(QueryError(token.column, fmt::format("{}: src and dst do not go with proto", context)));
  }
  return {};
}

Result<SyntaxNode> PrimitiveParser::ParseValue(const Qualifiers& qualifiers) {
  constexpr std::array<const char*, 5> kWanted = {"an address", "a network", "a port", "a port range",
                                                  "a protocol"};
  const bool mac = qualifiers.ether() && qualifiers.type == ValueType::kHost;
  STENO_TRY(const Token value,
            TakeValue(cursor_, qualifiers.text,
                      mac ? "a MAC address" : kWanted[static_cast<size_t>(qualifiers.type)]));
  if (mac) {
    Term term;
    term.kind = TermKind::kMac;
    term.side = qualifiers.side.value_or(Side::kEither);
    STENO_TRY(term.mac, ParseMac(qualifiers.text, value));
    return limits_.Leaf(term, value.column);
  }
  if (qualifiers.type == ValueType::kHost || qualifiers.type == ValueType::kNet) {
    return ParseAddressValue(qualifiers, value);
  }
  return ParseNumberValue(qualifiers, value);
}

Result<SyntaxNode> PrimitiveParser::ParseAddressValue(const Qualifiers& qualifiers, const Token& value) {
  AddressRange range;
  if (qualifiers.type == ValueType::kNet) {
    STENO_TRY(range, ParseNetwork(cursor_, qualifiers.text, value));
  } else {
    STENO_TRY(range.first, ParseHostAddress(qualifiers.text, value));
    range.last = range.first;
    if (cursor_.Peek().kind == TokenKind::kSlash) {
      return Fail(QueryError(
          cursor_.Peek().column,
          fmt::format("{}{}/: a prefix needs \"net\", as in net 10.0.0.0/8", qualifiers.text, value.text)));
    }
  }
  const bool v4 = range.first.family == 4;
  const ProtocolWord* protocol = qualifiers.protocol;
  // An IPv4 address may also be meant in ARP, as in tcpdump.
  uint8_t kinds = v4 ? kLayerBitsIp | kLayerBitArp : kLayerBitsIp;
  if (protocol != nullptr) {
    const bool wants_v4 = protocol->layer_kinds != kLayerBitIpv6;
    if (wants_v4 != v4) {
      return Fail(
          QueryError(value.column, fmt::format("{}{}: \"{}\" goes with {} addresses only", qualifiers.text,
                                               value.text, protocol->name, wants_v4 ? "IPv4" : "IPv6")));
    }
    kinds = protocol->layer_kinds == kLayerBitArp ? kLayerBitArp : kLayerBitsIp;
  }
  Term term = AddressTerm(range, kinds);
  term.side = qualifiers.side.value_or(Side::kEither);
  STENO_TRY(SyntaxNode node, limits_.Leaf(term, value.column));
  if (protocol == nullptr || protocol->name != "rarp") return node;
  // Layers do not tell ARP from RARP; the ether type does.
  STENO_TRY(SyntaxNode rarp, limits_.Leaf(*protocol->alone, value.column));
  return TreeLimits::Group(NodeKind::kAnd, {std::move(rarp), std::move(node)}, value.column);
}

Result<SyntaxNode> PrimitiveParser::ParseNumberValue(const Qualifiers& qualifiers, const Token& value) {
  if (qualifiers.type == ValueType::kPort || qualifiers.type == ValueType::kPortRange)
    return ParsePortValue(qualifiers, value);
  if (!qualifiers.ether()) return ParseProtocolValue(qualifiers, value);
  STENO_TRY(std::optional<SyntaxNode> named,
            LinkProtocol(WithoutBackslash(value.text), limits_, value.column));
  if (named) return std::move(*named);
  STENO_TRY(const NumberRange range, ParseEtherTypeRange(qualifiers.text, value));
  return limits_.Leaf(NumberTerm(TermKind::kEtherType, range), value.column);
}

Result<SyntaxNode> PrimitiveParser::ParseProtocolValue(const Qualifiers& qualifiers, const Token& value) {
  STENO_TRY(const NumberRange range, ParseProtocolRange(qualifiers.text, value));
  Term term = NumberTerm(TermKind::kProtocol, range);
  // "ip proto" means both families, as the incumbent has it: only "ip6" restricts.
  const bool only_v6 = qualifiers.protocol != nullptr && qualifiers.protocol->layer_kinds == kLayerBitIpv6;
  term.layer_kinds = only_v6 ? kLayerBitIpv6 : kLayerBitsIp;
  return limits_.Leaf(term, value.column);
}

Result<SyntaxNode> PrimitiveParser::ParsePortValue(const Qualifiers& qualifiers, const Token& value) {
  const int16_t wanted = qualifiers.protocol != nullptr ? qualifiers.protocol->port_protocol : int16_t{-1};
  STENO_TRY(const PortRange ports,
            ParsePorts(qualifiers.text, value, wanted, qualifiers.type == ValueType::kPortRange));
  Term term = NumberTerm(TermKind::kPort, ports.numbers);
  term.side = qualifiers.side.value_or(Side::kEither);
  term.protocol = ports.protocol;
  return limits_.Leaf(term, value.column);
}

// "vlan 5", "vlan 5-9", or "vlan" for any.
Result<SyntaxNode> PrimitiveParser::ParseTag(const Token& word, TermKind kind, const NumberKind& number) {
  NumberRange range{number.lowest, number.highest};
  if (cursor_.Peek().kind == TokenKind::kWord) {
    const Token value = cursor_.Next();
    STENO_TRY(range, ParseNumberRange(LowerCase(word.text) + " ", value, number));
  }
  return limits_.Leaf(NumberTerm(kind, range), word.column);
}

Result<SyntaxNode> PrimitiveParser::ParseTimeBound(const Token& word) {
  const bool after = EqualsIgnoringCase(word.text, "after");
  STENO_TRY(const int64_t time_ns, ParseTimeValue(LowerCase(word.text)));
  return limits_.Leaf(after ? TimeRange{time_ns, INT64_MAX} : TimeRange{INT64_MIN, time_ns}, word.column);
}

Result<int64_t> PrimitiveParser::ParseTimeValue(std::string_view primitive) {
  STENO_TRY(const Token value, TakeValue(cursor_, primitive, "a time"));
  const bool ago = IsWord(cursor_.Peek(), "ago");
  const bool digits_first = value.text[0] >= '0' && value.text[0] <= '9';
  const bool duration = digits_first && value.text.find_first_of("-:") == std::string_view::npos &&
                        value.text.find_first_not_of("0123456789.") != std::string_view::npos;
  if (!ago && !duration) return ParseTimestamp(value.text, value.column);
  STENO_TRY(const int64_t time_ns, ParseTimeAgo(value.text, value.column, now_ns_));
  if (!ago) {
    return Fail(
        QueryError(cursor_.Peek().column, fmt::format("expected \"ago\" after \"{}\", found {}",
                                                      Shorten(value.text), Describe(cursor_.Peek()))));
  }
  cursor_.Next();
  return time_ns;
}

}  // namespace steno::internal
