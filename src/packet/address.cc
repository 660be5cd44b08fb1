#include "packet/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/check.h"

namespace steno {

Address Address::FromV4Bytes(const uint8_t* bytes) { return V4(LoadBe<uint32_t>(bytes)); }

Address Address::FromV6Bytes(const uint8_t* bytes) {
  return V6(LoadBe<uint64_t>(bytes), LoadBe<uint64_t>(bytes + 8));
}

Result<Address> ParseAddress(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  std::array<uint8_t, 16> bytes{};
  // inet_pton() needs a terminated string; an embedded NUL must not hide what follows it.
  if (text.size() < terminated.size() && text.find('\0') == std::string_view::npos) {
    std::copy(text.begin(), text.end(), terminated.begin());
    if (::inet_pton(AF_INET, terminated.data(), bytes.data()) == 1) return Address::FromV4Bytes(bytes.data());
    if (::inet_pton(AF_INET6, terminated.data(), bytes.data()) == 1)
      return Address::FromV6Bytes(bytes.data());
  }
  return Fail(Error::Invalid(fmt::format(
      "address \"{}\": expected an IPv4 address like 192.0.2.1 or an IPv6 address like 2001:db8::1",
      text.substr(0, 64))));
}

std::string ToString(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  std::array<uint8_t, 16> bytes{};
  if (address.family == 4) {
    StoreBe(bytes.data(), static_cast<uint32_t>(address.low));
    ::inet_ntop(AF_INET, bytes.data(), text.data(), text.size());
  } else if (address.family == 6) {
    StoreBe(bytes.data(), address.high);
    StoreBe(bytes.data() + 8, address.low);
    ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  } else {
    return "none";
  }
  return text.data();
}

namespace {

// The lowest `bits` bits set.
uint64_t LowMask(unsigned bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

}  // namespace

AddressRange Prefix(const Address& address, unsigned bits) {
  const unsigned width = address.family == 4 ? 32 : 128;
  STENO_CHECK(bits <= width);
  const unsigned host_bits = width - bits;
  const uint64_t low_mask = LowMask(std::min(host_bits, 64u));
  const uint64_t high_mask = host_bits > 64 ? LowMask(host_bits - 64) : 0;
  AddressRange range{address, address};
  range.first.high &= ~high_mask;
  range.first.low &= ~low_mask;
  range.last.high |= high_mask;
  range.last.low |= low_mask;
  return range;
}

}  // namespace steno
