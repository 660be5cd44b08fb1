#include "query/net_parse.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <optional>

#include "query/values.h"

namespace steno::internal {

namespace {

struct NetworkAddress {
  Address address;
  unsigned written_bits = 0;  // how many bits the text spells out: 8 for "10", 32 for "10.1.2.3"
};

// One to three octets, as tcpdump has them: "10", "172.16", "192.168.1".
std::optional<NetworkAddress> ReadShortV4(std::string_view text) {
  uint32_t number = 0;
  unsigned octets = 0;
  for (;;) {
    uint32_t octet = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), octet);
    if (error != std::errc{} || octet > 255 || ++octets > 3) return std::nullopt;
    number = number << 8 | octet;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty()) break;
    if (text[0] != '.') return std::nullopt;
    text.remove_prefix(1);
  }
  return NetworkAddress{Address::V4(number << (32 - 8 * octets)), 8 * octets};
}

Result<NetworkAddress> ReadAddress(std::string_view primitive, const Token& value) {
  if (const auto short_form = ReadShortV4(value.text)) return *short_form;
  STENO_TRY(const Address address, ParseHostAddress(primitive, value));
  return NetworkAddress{address, address.family == 4 ? 32u : 128u};
}

// The number of leading ones, if nothing but zeros follows them.
std::optional<unsigned> MaskBits(const Address& mask) {
  const unsigned width = mask.family == 4 ? 32 : 128;
  const uint64_t top = mask.family == 4 ? mask.low << 32 : mask.high;
  const auto high_ones = static_cast<unsigned>(std::countl_one(top));
  const unsigned bits =
      width == 128 && high_ones == 64 ? 64 + static_cast<unsigned>(std::countl_one(mask.low)) : high_ones;
  const Address ones = width == 32 ? Address::V4(UINT32_MAX) : Address::V6(UINT64_MAX, UINT64_MAX);
  // The lowest address of the all-ones address' prefix is the mask of that many bits.
  if (Prefix(ones, bits).first != mask) return std::nullopt;
  return bits;
}

Result<AddressRange> WithMask(TokenCursor& cursor, std::string_view primitive,
                              const NetworkAddress& network) {
  const std::string context = fmt::format("{}{} mask ", primitive, ToString(network.address));
  STENO_TRY(const Token value, TakeValue(cursor, context, "a mask"));
  STENO_TRY(const Address mask, ParseHostAddress(context, value));
  if (mask.family != network.address.family) {
    return Fail(QueryError(
        value.column, fmt::format("{}{}: address and mask must be IPv4, or both IPv6", context, value.text)));
  }
  const auto bits = MaskBits(mask);
  if (!bits) {
    return Fail(
        QueryError(value.column, fmt::format("{}{}: a mask is ones followed by zeros", context, value.text)));
  }
  return Prefix(network.address, *bits);
}

}  // namespace

Result<AddressRange> ParseNetwork(TokenCursor& cursor, std::string_view primitive, const Token& value) {
  if (value.text.find('-') != std::string_view::npos) return ParseAddressRange(primitive, value);
  STENO_TRY(const NetworkAddress network, ReadAddress(primitive, value));
  if (cursor.Take(TokenKind::kSlash)) {
    const std::string context = fmt::format("{}{}/", primitive, value.text);
    const NumberKind length{"a prefix length", 0, network.address.family == 4 ? 32u : 128u};
    STENO_TRY(const Token bits, TakeValue(cursor, context, length.name));
    STENO_TRY(const uint32_t number, ParseNumber(context, bits, length));
    return Prefix(network.address, number);
  }
  if (cursor.TakeWord("mask")) return WithMask(cursor, primitive, network);
  return Prefix(network.address, network.written_bits);
}

}  // namespace steno::internal
