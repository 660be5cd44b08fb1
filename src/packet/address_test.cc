#include "packet/address.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace steno {
namespace {

TEST(Address, ParsesBothFamilies) {
  EXPECT_EQ(ParseAddress("10.1.2.3").value(), Address::V4(0x0a010203));
  EXPECT_EQ(ParseAddress("2001:db8::1").value(), Address::V6(0x20010db800000000, 1));
  EXPECT_EQ(ParseAddress("::ffff:1.2.3.4").value(), Address::V6(0, 0xffff01020304));
}

TEST(Address, RefusesEverythingElse) {
  for (const std::string& text :
       {std::string(""), std::string("10.1.2"), std::string("10.1.2.256"), std::string("10.1.2.3 "),
        std::string(" 10.1.2.3"), std::string("fe80::1%eth0"), std::string("10.1.2.3\0x", 10),
        std::string("1::2::3"), std::string("10.0.0.0/8"), std::string(1000, '1')}) {
    const auto result = ParseAddress(text);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(result.error().message, ::testing::HasSubstr("expected an IPv4 address"));
  }
}

TEST(Address, OrdersV4BelowV6AndByNumber) {
  EXPECT_LT(Address::V4(0xffffffff), Address::V6(0, 0));
  EXPECT_LT(Address::V4(1), Address::V4(0x80000000));
  EXPECT_LT(Address::V6(0, ~uint64_t{0}), Address::V6(1, 0));
}

TEST(Address, TextIsCanonical) {
  EXPECT_EQ(ToString(Address::V4(0xc0000201)), "192.0.2.1");
  EXPECT_EQ(ToString(ParseAddress("2001:0DB8:0:0:1:0:0:1").value()), "2001:db8::1:0:0:1");
  EXPECT_EQ(ToString(ParseAddress("2001:db8:0:1:1:1:1:1").value()), "2001:db8:0:1:1:1:1:1");
  EXPECT_EQ(ToString(Address{}), "none");
}

TEST(Address, TextAndBytesRoundTrip) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Address address = i % 2 == 0 ? Address::V4(static_cast<uint32_t>(random()))
                                       : Address::V6(random() & random(), random() & random() & random());
    const std::string text = ToString(address);
    EXPECT_EQ(ParseAddress(text).value(), address);
    uint8_t bytes[16];
    ASSERT_EQ(::inet_pton(address.family == 4 ? AF_INET : AF_INET6, text.c_str(), bytes), 1);
    EXPECT_EQ(address.family == 4 ? Address::FromV4Bytes(bytes) : Address::FromV6Bytes(bytes), address);
  }
}

// Bit `index` of an address, 0 = first on the wire.
bool Bit(const Address& address, unsigned index) {
  if (address.family == 4) return (address.low >> (31 - index) & 1) != 0;
  return ((index < 64 ? address.high : address.low) >> (63 - index % 64) & 1) != 0;
}

TEST(Address, PrefixSharesExactlyItsBits) {
  const Address v4 = ParseAddress("172.16.254.17").value();
  const Address v6 = ParseAddress("2001:db8:85a3::8a2e:370:7334").value();
  for (const Address& address : {v4, v6}) {
    const unsigned width = address.family == 4 ? 32 : 128;
    for (unsigned bits = 0; bits <= width; ++bits) {
      const AddressRange range = Prefix(address, bits);
      EXPECT_TRUE(range.Contains(address));
      for (unsigned i = 0; i < width; ++i) {
        EXPECT_EQ(Bit(range.first, i), i < bits && Bit(address, i)) << bits << " " << i;
        EXPECT_EQ(Bit(range.last, i), i >= bits || Bit(address, i)) << bits << " " << i;
      }
      EXPECT_EQ(range.first.family, address.family);
      EXPECT_EQ(range.last.family, address.family);
    }
  }
  EXPECT_EQ(Prefix(v4, 0).last, Address::V4(0xffffffff));
}

}  // namespace
}  // namespace steno
