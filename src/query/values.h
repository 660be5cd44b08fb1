// The values that both syntaxes share: numbers, protocols, addresses. Pure.
//
// Each function gets `primitive`, the text in front of the value as it is to appear in messages ("port ",
// "ip=").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "packet/term.h"
#include "query/lexer.h"

namespace steno::internal {

struct NumberKind {
  const char* name;  // "a port"
  uint32_t lowest;
  uint32_t highest;
};

inline constexpr NumberKind kPortNumber{"a port", 0, 65535};
inline constexpr NumberKind kVlanNumber{"a VLAN id", 0, 4095};
inline constexpr NumberKind kMplsNumber{"an MPLS label", 0, 0xfffff};
inline constexpr NumberKind kProtocolNumber{"a protocol", 0, 255};
// Below 0x0600 the field of an Ethernet frame is a length (IEEE 802.3-2022, 3.2.6).
inline constexpr NumberKind kEtherTypeNumber{"an Ethernet type", 0x0600, 0xffff};

struct NumberRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

// tcpdump wants a backslash in front of a name that is also a keyword.
std::string_view WithoutBackslash(std::string_view text);

// Decimal, or hexadecimal after "0x".
Result<uint32_t> ParseNumber(std::string_view primitive, const Token& value, const NumberKind& kind);
// The same, or two of them with "-" between.
Result<NumberRange> ParseNumberRange(std::string_view primitive, const Token& value, const NumberKind& kind);
// The same, or the name of a protocol.
Result<NumberRange> ParseProtocolRange(std::string_view primitive, const Token& value);
Result<NumberRange> ParseEtherTypeRange(std::string_view primitive, const Token& value);

// The protocol number of a name such as "tcp" (in any case), -1 if there is none.
int ProtocolOfName(std::string_view name);

Result<Address> ParseHostAddress(std::string_view primitive, const Token& value);
// "A-B", both of one family, A not above B.
Result<AddressRange> ParseAddressRange(std::string_view primitive, const Token& value);
// Six groups of one or two hexadecimal digits with ":" or "-" between.
Result<MacAddress> ParseMac(std::string_view primitive, const Token& value);

// The next token, which must be a word. `what` is "a port".
Result<Token> TakeValue(TokenCursor& cursor, std::string_view primitive, std::string_view what);

Term NumberTerm(TermKind kind, NumberRange range);
Term AddressTerm(const AddressRange& range, uint8_t layer_kinds);

}  // namespace steno::internal
