#include "query/values.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace steno::internal {

namespace {

// Assigned internet protocol numbers (IANA), as far as people write them by name. "ah" is missing: the
// decoder looks through that header like through any other IPv6 extension.
constexpr std::array<std::pair<std::string_view, int>, 19> kProtocolNames = {{
    {"icmp", 1},   {"igmp", 2},    {"ipip", 4},       {"tcp", 6},    {"egp", 8},
    {"igrp", 9},   {"udp", 17},    {"ipv6", 41},      {"gre", 47},   {"esp", 50},
    {"icmp6", 58}, {"icmpv6", 58}, {"ipv6-icmp", 58}, {"ospf", 89},  {"pim", 103},
    {"vrrp", 112}, {"carp", 112},  {"l2tp", 115},     {"sctp", 132},
}};

// <linux/if_ether.h>
constexpr std::array<std::pair<std::string_view, uint32_t>, 5> kEtherTypeNames = {{
    {"ip", 0x0800},
    {"arp", 0x0806},
    {"rarp", 0x8035},
    {"ip6", 0x86dd},
    {"lldp", 0x88cc},
}};

// nullopt: no number at all. A number too large for 64 bits becomes the largest, which no kind allows.
std::optional<uint64_t> ReadNumber(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  return error == std::errc::result_out_of_range ? UINT64_MAX : number;
}

tl::unexpected<Error> FailValue(std::string_view primitive, const Token& value, std::string_view problem) {
  return Fail(QueryError(value.column, fmt::format("{}{}: {}", primitive, Shorten(value.text), problem)));
}

// The two sides of the first "-" inside; the second is empty if there is none.
std::pair<Token, Token> SplitRange(const Token& value) {
  const size_t dash = value.text.find('-', 1);
  if (dash == std::string_view::npos) return {value, {TokenKind::kEnd, {}, value.column}};
  return {{value.kind, value.text.substr(0, dash), value.column},
          {value.kind, value.text.substr(dash + 1), value.column + static_cast<uint32_t>(dash + 1)}};
}

bool LooksLikeName(std::string_view text) {
  return text.find(':') == std::string_view::npos &&
         text.find_first_not_of("0123456789.") != std::string_view::npos;
}

}  // namespace

std::string_view WithoutBackslash(std::string_view text) {
  if (text.starts_with('\\')) text.remove_prefix(1);
  return text;
}

Result<uint32_t> ParseNumber(std::string_view primitive, const Token& value, const NumberKind& kind) {
  const auto number = ReadNumber(value.text);
  if (!number) {
    return FailValue(primitive, value,
                     fmt::format("{} is a number {}..{}", kind.name, kind.lowest, kind.highest));
  }
  if (*number < kind.lowest || *number > kind.highest) {
    return FailValue(primitive, value, fmt::format("{} is {}..{}", kind.name, kind.lowest, kind.highest));
  }
  return static_cast<uint32_t>(*number);
}

Result<NumberRange> ParseNumberRange(std::string_view primitive, const Token& value, const NumberKind& kind) {
  if (value.text.find('-', 1) == std::string_view::npos) {
    STENO_TRY(const uint32_t number, ParseNumber(primitive, value, kind));
    return NumberRange{number, number};
  }
  const auto [low, high] = SplitRange(value);
  if (high.text.empty()) {
    return FailValue(primitive, value, "a range is two numbers with \"-\" between");
  }
  STENO_TRY(const uint32_t first, ParseNumber(primitive, low, kind));
  STENO_TRY(const uint32_t last, ParseNumber(primitive, high, kind));
  if (first > last) return FailValue(primitive, value, "the first end of the range is above the last");
  return NumberRange{first, last};
}

Result<NumberRange> ParseProtocolRange(std::string_view primitive, const Token& value) {
  const int named = ProtocolOfName(WithoutBackslash(value.text));
  if (named >= 0) return NumberRange{static_cast<uint32_t>(named), static_cast<uint32_t>(named)};
  if (value.text.find_first_of("0123456789") != 0) {
    return FailValue(primitive, value,
                     "a protocol is a number 0..255 or a name like tcp, udp, icmp, icmp6, sctp");
  }
  return ParseNumberRange(primitive, value, kProtocolNumber);
}

Result<NumberRange> ParseEtherTypeRange(std::string_view primitive, const Token& value) {
  for (const auto& [name, number] : kEtherTypeNames) {
    if (EqualsIgnoringCase(WithoutBackslash(value.text), name)) return NumberRange{number, number};
  }
  if (value.text.find_first_of("0123456789") != 0) {
    return FailValue(primitive, value,
                     "an Ethernet type is a number 1536..65535 or a name: ip, ip6, arp, rarp, lldp");
  }
  return ParseNumberRange(primitive, value, kEtherTypeNumber);
}

int ProtocolOfName(std::string_view name) {
  for (const auto& [known, number] : kProtocolNames) {
    if (EqualsIgnoringCase(name, known)) return number;
  }
  return -1;
}

Result<Address> ParseHostAddress(std::string_view primitive, const Token& value) {
  if (auto address = ParseAddress(value.text)) return *address;
  return FailValue(primitive, value,
                   LooksLikeName(value.text) ? "expected an IPv4 or IPv6 address; names are not looked up"
                                             : "expected an IPv4 or IPv6 address");
}

Result<AddressRange> ParseAddressRange(std::string_view primitive, const Token& value) {
  const auto [low, high] = SplitRange(value);
  if (high.text.empty()) {
    return FailValue(primitive, value, "a range is two addresses with \"-\" between");
  }
  STENO_TRY(const Address first, ParseHostAddress(primitive, low));
  STENO_TRY(const Address last, ParseHostAddress(primitive, high));
  if (first.family != last.family) {
    return FailValue(primitive, value, "both ends of a range must be IPv4, or both IPv6");
  }
  if (first > last) return FailValue(primitive, value, "the first end of the range is above the last");
  return AddressRange{first, last};
}

Result<MacAddress> ParseMac(std::string_view primitive, const Token& value) {
  constexpr const char* kExpected = "expected a MAC address like 00:11:22:aa:bb:cc";
  MacAddress mac{};
  std::string_view rest = value.text;
  for (size_t i = 0; i < mac.size(); ++i) {
    const size_t digits = std::min(rest.find_first_of(":-"), rest.size());
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + digits, mac[i], 16);
    if (digits == 0 || digits > 2 || error != std::errc{} || end != rest.data() + digits) {
      return FailValue(primitive, value, kExpected);
    }
    rest.remove_prefix(digits);
    const bool last = i + 1 == mac.size();
    if (last != rest.empty()) return FailValue(primitive, value, kExpected);
    if (!last) rest.remove_prefix(1);
  }
  return mac;
}

Result<Token> TakeValue(TokenCursor& cursor, std::string_view primitive, std::string_view what) {
  if (cursor.Peek().kind == TokenKind::kWord) return cursor.Next();
  const std::string_view word = primitive.substr(0, primitive.find_last_not_of(' ') + 1);
  return Fail(QueryError(cursor.Peek().column, fmt::format("expected {} after \"{}\", found {}", what, word,
                                                           Describe(cursor.Peek()))));
}

Term NumberTerm(TermKind kind, NumberRange range) {
  Term term;
  term.kind = kind;
  term.first = range.first;
  term.last = range.last;
  return term;
}

Term AddressTerm(const AddressRange& range, uint8_t layer_kinds) {
  Term term;
  term.kind = TermKind::kAddress;
  term.layer_kinds = layer_kinds;
  term.addresses = range;
  return term;
}

}  // namespace steno::internal
