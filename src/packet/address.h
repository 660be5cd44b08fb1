// IPv4 and IPv6 addresses as ordered values.
//
// Order: every IPv4 address is below every IPv6 address, numeric within a family. So one range [first, last]
// never has to cross families, and sorted dictionaries keep prefixes contiguous. Plain values, thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace steno {

struct Address {
  uint8_t family = 0;  // 0 none, 4, 6
  uint64_t high = 0;   // IPv6: the first 8 bytes as a big-endian number; IPv4: 0
  uint64_t low = 0;    // IPv6: the last 8 bytes; IPv4: the address as a number

  static Address V4(uint32_t number) { return {4, 0, number}; }
  static Address V6(uint64_t high, uint64_t low) { return {6, high, low}; }
  // From 4 or 16 bytes in network order.
  static Address FromV4Bytes(const uint8_t* bytes);
  static Address FromV6Bytes(const uint8_t* bytes);

  auto operator<=>(const Address&) const = default;
};

// Both ends included, both of one family.
struct AddressRange {
  Address first;
  Address last;

  [[nodiscard]] bool Contains(const Address& address) const { return first <= address && address <= last; }
  bool operator==(const AddressRange&) const = default;
};

// Dotted quad or RFC 4291 text. The error says what was expected.
Result<Address> ParseAddress(std::string_view text);
std::string ToString(const Address& address);

// The addresses that share the first `bits` bits with `address`. REQUIRES: bits <= 32 (IPv4) or 128 (IPv6).
AddressRange Prefix(const Address& address, unsigned bits);

}  // namespace steno
