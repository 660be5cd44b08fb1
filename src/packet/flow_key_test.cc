#include "packet/flow_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

#include "testing/packet_builder.h"
#include "testing/random_frames.h"

namespace steno {
namespace {

using testing::PacketBuilder;
using testing::RandomFrame;

PacketHeaders Headers(const RandomFrame& frame) {
  PacketHeaders headers;
  Decode(frame.bytes, frame.tag, headers);
  return headers;
}

FlowKey Key(const PacketHeaders& headers) {
  FlowKey key;
  key.bytes.fill(0xee);  // what a key leaves unwritten must not count
  MakeFlowKey(headers, key);
  return key;
}

FlowKey KeyOf(const PacketBuilder& builder, const StrippedTag& tag = {}) {
  return Key(Headers({builder.Build(), tag}));
}

std::vector<uint8_t> Bytes(const FlowKey& key) { return {key.view().begin(), key.view().end()}; }

PacketHeaders Reversed(PacketHeaders headers) {
  std::swap(headers.src_mac, headers.dst_mac);
  for (Layer& layer : headers.layers) {
    std::swap(layer.src, layer.dst);
    std::swap(layer.src_port, layer.dst_port);
  }
  return headers;
}

// What a flow keeps of its packets, written down independently of the encoding.
PacketHeaders Canonical(PacketHeaders headers) {
  if (headers.layer_count > 0) {
    headers.has_macs = false;
    headers.src_mac = headers.dst_mac = {};
  } else if (headers.dst_mac < headers.src_mac) {
    std::swap(headers.src_mac, headers.dst_mac);
  }
  for (Layer& layer : headers.layers) {
    if (std::tie(layer.dst, layer.dst_port) < std::tie(layer.src, layer.src_port)) {
      std::swap(layer.src, layer.dst);
      std::swap(layer.src_port, layer.dst_port);
    }
  }
  return headers;
}

PacketBuilder Tcp4(const char* src, uint16_t src_port, const char* dst, uint16_t dst_port) {
  return PacketBuilder().Ethernet().Ipv4(src, dst).Tcp(src_port, dst_port);
}

TEST(FlowKey, LayoutOfV4) {
  const FlowKey key = KeyOf(Tcp4("10.0.0.2", 80, "10.0.0.1", 1234), {true, 0xe123, 0x8100});
  EXPECT_EQ(key.kind, FlowKind::kV4);
  EXPECT_THAT(Bytes(key),
              ::testing::ElementsAre(1, 0, 0, 10, 2, 0, 0, 10, 0xd2, 0x04, 80, 0, 6, 3, 0x23, 0x01));
}

TEST(FlowKey, LayoutOfV6) {
  const FlowKey key = KeyOf(PacketBuilder().Ethernet().Ipv6("2001:db8::2", "2001:db8::1").Icmp6(128, 0));
  EXPECT_EQ(key.kind, FlowKind::kV6);
  EXPECT_THAT(Bytes(key),
              ::testing::ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb8, 0x0d, 0x01, 0x20,  //
                                     2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb8, 0x0d, 0x01, 0x20,  //
                                     0, 0, 0, 0, 58, 0, 0, 0));
}

TEST(FlowKey, LayoutOfGeneral) {
  const FlowKey arp = KeyOf(PacketBuilder().Ethernet().Vlan(5).Arp("10.0.0.2", "10.0.0.1"));
  EXPECT_EQ(arp.kind, FlowKind::kGeneral);
  EXPECT_THAT(Bytes(arp), ::testing::ElementsAre(1, 1, 6, 8, 5, 0, 3, 0, 1, 0, 0, 10, 2, 0, 0, 10));
  const FlowKey other = KeyOf(PacketBuilder().Ethernet("02:00:00:00:00:09", "02:00:00:00:00:02").Raw({1, 2}));
  EXPECT_THAT(Bytes(other), ::testing::ElementsAre(0x10, 0, 0, 0, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9));
}

TEST(FlowKey, ShortFormsOnlyWhereNothingIsLost) {
  EXPECT_EQ(KeyOf(PacketBuilder().Ethernet().Vlan(5).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2)).kind,
            FlowKind::kV4);
  const std::vector<PacketBuilder> general = {
      PacketBuilder().Ethernet().Vlan(5).Vlan(6).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2),
      PacketBuilder().Ethernet().Mpls({5}).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2),
      PacketBuilder().Ethernet().Pppoe().Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2),
      PacketBuilder().Ethernet().Ipv4("1.1.1.1", "2.2.2.2").Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2),
      PacketBuilder().Ethernet().Ipv6("::1", "::2").Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2),
      PacketBuilder().Ethernet().Arp("1.1.1.1", "2.2.2.2"),
      PacketBuilder().Ethernet().Payload(50),
      PacketBuilder(),
  };
  for (const PacketBuilder& builder : general) EXPECT_EQ(KeyOf(builder).kind, FlowKind::kGeneral);
}

TEST(FlowKey, SamePortsInTheOtherOrderAreAnotherFlow) {
  EXPECT_EQ(Bytes(KeyOf(Tcp4("10.0.0.1", 1, "10.0.0.2", 2))),
            Bytes(KeyOf(Tcp4("10.0.0.2", 2, "10.0.0.1", 1))));
  EXPECT_NE(Bytes(KeyOf(Tcp4("10.0.0.1", 1, "10.0.0.2", 2))),
            Bytes(KeyOf(Tcp4("10.0.0.1", 2, "10.0.0.2", 1))));
  EXPECT_EQ(Bytes(KeyOf(Tcp4("10.0.0.1", 1, "10.0.0.1", 2))),
            Bytes(KeyOf(Tcp4("10.0.0.1", 2, "10.0.0.1", 1))));
}

TEST(FlowKey, RoundTripAndDirection) {
  std::mt19937_64 random(4);
  std::array<unsigned, 3> kinds{};
  for (int i = 0; i < 50000; ++i) {
    const RandomFrame frame =
        i % 2 == 0 ? testing::MakeRandomFrame(random) : testing::MakeBrokenFrame(random);
    const PacketHeaders headers = Headers(frame);
    const FlowKey key = Key(headers);
    ++kinds[static_cast<size_t>(key.kind)];
    ASSERT_EQ(key.size % 8, 0);
    ASSERT_LE(key.size, kMaxFlowKeyBytes);
    ASSERT_EQ(Bytes(Key(Reversed(headers))), Bytes(key)) << i;
    PacketHeaders parsed;
    const Status status = ParseFlowKey(key.kind, key.view(), parsed);
    ASSERT_TRUE(status.has_value()) << i << " " << status.error().message;
    ASSERT_EQ(parsed, Canonical(headers)) << i;
    // The length follows from the content, whatever comes after.
    std::vector<uint8_t> longer = Bytes(key);
    longer.resize(longer.size() + 24, 0xff);
    ASSERT_EQ(FlowKeySize(key.kind, longer), key.size);
    ASSERT_TRUE(ParseFlowKey(key.kind, longer, parsed).has_value());
    ASSERT_EQ(parsed, Canonical(headers)) << i;
    for (size_t size = 0; size < key.size; ++size) {
      ASSERT_FALSE(ParseFlowKey(key.kind, key.view().first(size), parsed).has_value());
    }
  }
  EXPECT_THAT(kinds, ::testing::Each(::testing::Gt(2000u)));
}

TEST(FlowKey, LargestKeyFits) {
  PacketHeaders headers;
  headers.vlan_count = kMaxVlans;
  headers.mpls_count = kMaxMplsLabels;
  headers.layer_count = kMaxLayers;
  headers.truncated_layers = true;
  for (Layer& layer : headers.layers) {
    layer = {LayerKind::kIpv6, true, 6, 1, 2, Address::V6(1, 2), Address::V6(3, 4)};
  }
  const FlowKey key = Key(headers);
  PacketHeaders parsed;
  ASSERT_TRUE(ParseFlowKey(key.kind, key.view(), parsed).has_value());
  EXPECT_EQ(parsed, headers);
}

// Any bytes either are the one encoding of some headers, or are refused.
TEST(FlowKey, DamagedKeysAreRefusedOrOtherKeys) {
  std::mt19937_64 random(5);
  unsigned refused = 0;
  for (int i = 0; i < 100000; ++i) {
    FlowKey key = Key(Headers(testing::MakeRandomFrame(random)));
    for (size_t changes = 1 + random() % 2; changes > 0; --changes) {
      key.bytes[random() % key.size] ^= static_cast<uint8_t>(1u << random() % 8);
    }
    PacketHeaders parsed;
    if (!ParseFlowKey(key.kind, key.view(), parsed).has_value()) {
      ++refused;
      continue;
    }
    const FlowKey again = Key(parsed);
    ASSERT_EQ(again.kind, key.kind);
    ASSERT_TRUE(std::ranges::equal(again.view(), key.view().first(again.size)));
  }
  EXPECT_GT(refused, 20000u);
  PacketHeaders parsed;
  EXPECT_FALSE(ParseFlowKey(static_cast<FlowKind>(3), std::vector<uint8_t>(64), parsed).has_value());
}

void ExpectShortCutAgrees(const RandomFrame& frame, int seed) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[frame.bytes.size()]);
  std::copy(frame.bytes.begin(), frame.bytes.end(), exact.get());
  FlowKey fast;
  fast.bytes.fill(0x55);
  FrameToFlowKey({exact.get(), frame.bytes.size()}, frame.tag, fast);
  const FlowKey slow = Key(Headers(frame));
  ASSERT_EQ(fast.kind, slow.kind) << seed;
  ASSERT_EQ(Bytes(fast), Bytes(slow)) << seed;
}

// IsPlainKey() is the same test without the parsing.
TEST(FlowKey, PlainKeysAreToldWithoutParsing) {
  std::mt19937_64 random(11);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    FlowKey key =
        KeyOf(round % 2 == 0 ? Tcp4("10.0.0.1", 80, "10.0.0.2", 81)
                             : PacketBuilder().Ethernet().Ipv6("2001:db8::1", "2001:db8::2").Udp(5, 6));
    for (size_t changes = random() % 3; changes > 0; --changes)
      key.bytes[random() % key.size] = static_cast<uint8_t>(random() % 4);
    PacketHeaders headers;
    const bool parsed = ParseFlowKey(key.kind, key.view(), headers).has_value();
    ASSERT_EQ(IsPlainKey(key.kind, key.bytes.data()), parsed);
    refused += parsed ? 0 : 1;
  }
  EXPECT_GT(refused, 1000);
}

TEST(FlowKey, ShortCutEqualsDecoding) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 100000; ++i) {
    ExpectShortCutAgrees(i % 3 == 0 ? testing::MakeRandomFrame(random) : testing::MakeBrokenFrame(random), i);
  }
}

TEST(FlowKey, ShortCutEqualsDecodingForEveryCutAndByte) {
  int seed = 0;
  for (const auto& frame : testing::EveryFrame()) {
    for (size_t size = 0; size <= frame.size(); ++size) {
      ExpectShortCutAgrees({{frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size)}, {}}, seed++);
    }
    // Every value of the bytes that steer: ether type, version and header length, fragment, protocol.
    for (const size_t at : {12u, 13u, 14u, 20u, 21u, 23u}) {
      RandomFrame changed{frame, {}};
      for (unsigned value = 0; value < 256 && at < frame.size(); ++value) {
        changed.bytes[at] = static_cast<uint8_t>(value);
        ExpectShortCutAgrees(changed, seed++);
      }
    }
  }
}

}  // namespace
}  // namespace steno
