#include "packet/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "testing/packet_builder.h"
#include "testing/random_frames.h"

namespace steno {
namespace {

using ::testing::ElementsAre;
using testing::PacketBuilder;

PacketHeaders DecodeFrame(const std::vector<uint8_t>& frame, const StrippedTag& tag = {}) {
  // A copy of the exact size, so that a read outside is seen by the address sanitizer.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[frame.size()]);
  std::copy(frame.begin(), frame.end(), exact.get());
  PacketHeaders headers;
  Decode({exact.get(), frame.size()}, tag, headers);
  return headers;
}

std::string Text(const Layer& layer) {
  std::string text = layer.kind == LayerKind::kArp ? "arp " : std::to_string(layer.protocol) + " ";
  text += ToString(layer.src) + (layer.has_ports ? ":" + std::to_string(layer.src_port) : "") + " > ";
  return text + ToString(layer.dst) + (layer.has_ports ? ":" + std::to_string(layer.dst_port) : "");
}

std::vector<std::string> Layers(const PacketHeaders& headers) {
  std::vector<std::string> texts;
  for (unsigned i = 0; i < headers.layer_count; ++i) texts.push_back(Text(headers.layers[i]));
  return texts;
}

std::vector<uint16_t> Vlans(const PacketHeaders& headers) {
  return {headers.vlans.begin(), headers.vlans.begin() + headers.vlan_count};
}

std::vector<uint32_t> Labels(const PacketHeaders& headers) {
  return {headers.mpls_labels.begin(), headers.mpls_labels.begin() + headers.mpls_count};
}

PacketBuilder Eth() { return PacketBuilder().Ethernet(); }
PacketBuilder Eth4() { return Eth().Ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder Eth6() { return Eth().Ipv6("2001:db8::1", "2001:db8::2"); }

TEST(Decode, PlainTcp) {
  const PacketHeaders headers = DecodeFrame(Eth4().Tcp(1234, 80).Payload(5).Build());
  EXPECT_EQ(headers.ether_type, 0x0800);
  EXPECT_THAT(headers.src_mac, ElementsAre(2, 0, 0, 0, 0, 1));
  EXPECT_THAT(headers.dst_mac, ElementsAre(2, 0, 0, 0, 0, 2));
  EXPECT_TRUE(headers.has_macs);
  EXPECT_FALSE(headers.truncated_layers);
  EXPECT_EQ(headers.vlan_count + headers.mpls_count, 0);
  EXPECT_EQ(headers.layers[0].kind, LayerKind::kIpv4);
  EXPECT_THAT(Layers(headers), ElementsAre("6 10.0.0.1:1234 > 10.0.0.2:80"));
}

TEST(Decode, OtherTransports) {
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Udp(5353, 53).Build())),
              ElementsAre("17 10.0.0.1:5353 > 10.0.0.2:53"));
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Sctp(36412, 7).Build())),
              ElementsAre("132 10.0.0.1:36412 > 10.0.0.2:7"));
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Icmp(8, 0).Build())), ElementsAre("1 10.0.0.1 > 10.0.0.2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Icmp6(128, 0).Build())), ElementsAre("58 2001:db8::1 > 2001:db8::2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Udp(1, 2).Build())), ElementsAre("17 2001:db8::1:1 > 2001:db8::2:2"));
}

TEST(Decode, LengthsAndVersionInIpHeadersDoNotMatter) {
  auto frame = Eth4().Tcp(1, 2).Build();
  frame[14] = 0x95;              // version 9
  frame[16] = frame[17] = 0xff;  // total length
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("6 10.0.0.1:1 > 10.0.0.2:2"));
}

TEST(Decode, Ipv4OptionsMoveThePorts) {
  auto frame = Eth4().Raw({1, 1, 1, 1, 0x04, 0xd2, 0, 80}).Build();
  frame[14] = 0x46;
  frame[23] = 6;
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("6 10.0.0.1:1234 > 10.0.0.2:80"));
  frame[14] = 0x4f;  // 60 bytes of header, fewer captured
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("6 10.0.0.1 > 10.0.0.2"));
  frame[14] = 0x40;  // broken: libpcap's filters read ports at the start of the IP header
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("6 10.0.0.1:16384 > 10.0.0.2:28"));
}

TEST(Decode, FragmentsHavePortsOnlyAtTheStart) {
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Fragment(0, true).Udp(1, 2).Build())),
              ElementsAre("17 10.0.0.1:1 > 10.0.0.2:2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Fragment(8, false).Udp(1, 2).Build())),
              ElementsAre("17 10.0.0.1 > 10.0.0.2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Fragment(0, true).Udp(1, 2).Build())),
              ElementsAre("17 2001:db8::1:1 > 2001:db8::2:2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Fragment(8, false).Udp(1, 2).Build())),
              ElementsAre("17 2001:db8::1 > 2001:db8::2"));
  // A later fragment does not begin a tunnel either.
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Fragment(8, false).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build())),
              ElementsAre("4 10.0.0.1 > 10.0.0.2"));
}

TEST(Decode, Ipv6ExtensionHeaders) {
  const auto frame = Eth6()
                         .Ipv6Extension(0, 8)
                         .Ipv6Extension(60, 16)
                         .Ipv6Extension(43, 24)
                         .Ipv6Extension(51, 20)
                         .Ipv6Extension(135, 8)
                         .Ipv6Extension(139, 40)
                         .Ipv6Extension(140, 8)
                         .Tcp(1, 2)
                         .Build();
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("6 2001:db8::1:1 > 2001:db8::2:2"));
  // ESP hides what is behind it; a later fragment ends the chain at the fragment header's next header.
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Ipv6Extension(0, 8).Protocol(50).Payload(40).Build())),
              ElementsAre("50 2001:db8::1 > 2001:db8::2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Ipv6Extension(60, 8).Protocol(59).Build())),
              ElementsAre("59 2001:db8::1 > 2001:db8::2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth6().Fragment(8, true).Ipv6Extension(60, 8).Tcp(1, 2).Build())),
              ElementsAre("60 2001:db8::1 > 2001:db8::2"));
}

TEST(Decode, EndlessExtensionChainIsCutAndSaysSo) {
  PacketBuilder builder = Eth6();
  for (int i = 0; i < 1000; ++i) builder.Ipv6Extension(60, 8);
  const PacketHeaders headers = DecodeFrame(builder.Tcp(1, 2).Build());
  EXPECT_TRUE(headers.truncated_layers);
  EXPECT_EQ(headers.layer_count, 1);
}

TEST(Decode, VlanTags) {
  auto headers = DecodeFrame(Eth()
                                 .Vlan(0xe005, 0x88a8)
                                 .Vlan(0, 0x9100)
                                 .Vlan(4095, 0x9200)
                                 .Ipv4("1.1.1.1", "2.2.2.2")
                                 .Tcp(1, 2)
                                 .Build());
  EXPECT_THAT(Vlans(headers), ElementsAre(5, 0, 4095));
  EXPECT_EQ(headers.ether_type, 0x0800);
  EXPECT_THAT(Layers(headers), ElementsAre("6 1.1.1.1:1 > 2.2.2.2:2"));
  headers = DecodeFrame(Eth().Vlan(7).Ipv4("1.1.1.1", "2.2.2.2").Build(), {true, 0x6009, 0x88a8});
  EXPECT_THAT(Vlans(headers), ElementsAre(9, 7));
}

TEST(Decode, MoreTagsThanFit) {
  const PacketHeaders headers = DecodeFrame(
      Eth().Vlan(1).Vlan(2).Vlan(3).Vlan(4).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build(), {true, 9, 0x8100});
  EXPECT_THAT(Vlans(headers), ElementsAre(9, 1, 2, 3));
  EXPECT_TRUE(headers.truncated_layers);
  EXPECT_EQ(headers.layer_count, 1);
}

TEST(Decode, Mpls) {
  auto headers = DecodeFrame(Eth().Mpls({16, 0xfffff, 3}).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build());
  EXPECT_THAT(Labels(headers), ElementsAre(16, 0xfffff, 3));
  EXPECT_EQ(headers.ether_type, 0x8847);
  EXPECT_THAT(Layers(headers), ElementsAre("6 1.1.1.1:1 > 2.2.2.2:2"));
  headers = DecodeFrame(Eth().Mpls({16}).Ipv6("::1", "::2").Udp(1, 2).Build());
  EXPECT_THAT(Layers(headers), ElementsAre("17 ::1:1 > ::2:2"));
  headers = DecodeFrame(
      Eth().Mpls({16}).Raw({0, 0, 0, 0}).Ethernet().Vlan(5).Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build());
  EXPECT_THAT(Vlans(headers), ElementsAre(5));
  EXPECT_THAT(Layers(headers), ElementsAre("6 1.1.1.1:1 > 2.2.2.2:2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth().Mpls({16}).Payload(60, 0).Build())), ElementsAre());
  headers = DecodeFrame(Eth().Mpls({1, 2, 3, 4, 5, 6, 7, 8, 9}).Ipv4("1.1.1.1", "2.2.2.2").Build());
  EXPECT_THAT(Labels(headers), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_TRUE(headers.truncated_layers);
  EXPECT_EQ(headers.layer_count, 1);
}

TEST(Decode, Pppoe) {
  const PacketHeaders headers = DecodeFrame(Eth().Pppoe().Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build());
  EXPECT_EQ(headers.ether_type, 0x8864);
  EXPECT_THAT(Layers(headers), ElementsAre("6 1.1.1.1:1 > 2.2.2.2:2"));
  EXPECT_THAT(Layers(DecodeFrame(Eth().Pppoe().Ipv6("::1", "::2").Udp(1, 2).Build())),
              ElementsAre("17 ::1:1 > ::2:2"));
}

TEST(Decode, SnapAndLengths) {
  const auto frame = Eth().Snap().Ipv4("1.1.1.1", "2.2.2.2").Tcp(1, 2).Build();
  PacketHeaders headers = DecodeFrame(frame);
  EXPECT_EQ(headers.ether_type, 0);
  EXPECT_THAT(Layers(headers), ElementsAre("6 1.1.1.1:1 > 2.2.2.2:2"));
  auto spanning_tree = Eth().Raw({0x42, 0x42, 3, 0, 0, 0, 8, 0}).Ipv4("1.1.1.1", "2.2.2.2").Build();
  spanning_tree[12] = 0x05;
  spanning_tree[13] = 0xdc;  // 1500: still a length
  headers = DecodeFrame(spanning_tree);
  EXPECT_EQ(headers.ether_type, 0);
  EXPECT_EQ(headers.layer_count, 0);
}

TEST(Decode, Arp) {
  auto frame = Eth().Vlan(3).Arp("10.0.0.1", "10.0.0.2").Build();
  PacketHeaders headers = DecodeFrame(frame);
  EXPECT_THAT(Layers(headers), ElementsAre("arp 10.0.0.1 > 10.0.0.2"));
  EXPECT_EQ(headers.ether_type, 0x0806);
  frame[16] = 0x80;  // RARP
  frame[17] = 0x35;
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre("arp 10.0.0.1 > 10.0.0.2"));
  frame[18 + 5] = 16;  // not IPv4
  EXPECT_THAT(Layers(DecodeFrame(frame)), ElementsAre());
}

TEST(Decode, IpInIp) {
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Ipv6("::1", "::2").Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build())),
              ElementsAre("41 10.0.0.1 > 10.0.0.2", "4 ::1 > ::2", "6 3.3.3.3:1 > 4.4.4.4:2"));
}

TEST(Decode, DeepNestingIsCutAndSaysSo) {
  PacketBuilder builder = Eth4();
  for (int i = 0; i < 200; ++i) builder.Ipv4("1.1.1.1", "2.2.2.2");
  const PacketHeaders headers = DecodeFrame(builder.Tcp(1, 2).Build());
  EXPECT_EQ(headers.layer_count, kMaxLayers);
  EXPECT_TRUE(headers.truncated_layers);
  EXPECT_FALSE(DecodeFrame(Eth4()
                               .Ipv4("1.1.1.1", "2.2.2.2")
                               .Ipv4("1.1.1.1", "2.2.2.2")
                               .Ipv4("1.1.1.1", "2.2.2.2")
                               .Tcp(1, 2)
                               .Build())
                   .truncated_layers);
}

TEST(Decode, GreWithEveryOption) {
  for (int options = 0; options < 8; ++options) {
    const bool key = (options & 1) != 0;
    const bool checksum = (options & 2) != 0;
    const bool sequence = (options & 4) != 0;
    EXPECT_THAT(
        Layers(DecodeFrame(Eth4().Gre(key, checksum, sequence).Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build())),
        ElementsAre("47 10.0.0.1 > 10.0.0.2", "6 3.3.3.3:1 > 4.4.4.4:2"));
  }
  PacketHeaders headers = DecodeFrame(
      Eth6().Gre(true).Ethernet().Vlan(6).Ipv6("::1", "::2").Udp(1, 2).Build(), {true, 5, 0x8100});
  EXPECT_THAT(Layers(headers), ElementsAre("47 2001:db8::1 > 2001:db8::2", "17 ::1:1 > ::2:2"));
  EXPECT_THAT(Vlans(headers), ElementsAre(5, 6));
  EXPECT_EQ(headers.ether_type, 0x86dd);
  headers = DecodeFrame(Eth4().Gre().Mpls({77}).Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build());
  EXPECT_THAT(Labels(headers), ElementsAre(77));
  EXPECT_EQ(headers.layer_count, 2);
}

TEST(Decode, PptpGreIsNotFollowed) {
  auto frame = Eth4().Gre().Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build();
  frame[35] |= 1;  // version
  EXPECT_EQ(DecodeFrame(frame).layer_count, 1);
}

TEST(Decode, Vxlan) {
  auto frame = Eth4().Vxlan(3).Ethernet().Vlan(6).Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build();
  const PacketHeaders headers = DecodeFrame(frame);
  EXPECT_THAT(Layers(headers), ElementsAre("17 10.0.0.1:50000 > 10.0.0.2:4789", "6 3.3.3.3:1 > 4.4.4.4:2"));
  EXPECT_THAT(Vlans(headers), ElementsAre(6));
  EXPECT_THAT(headers.src_mac, ElementsAre(2, 0, 0, 0, 0, 1));
  frame[42] = 0;  // no valid VNI: some other traffic on this port
  EXPECT_EQ(DecodeFrame(frame).layer_count, 1);
}

TEST(Decode, Geneve) {
  for (const unsigned option_bytes : {0u, 4u, 124u, 252u}) {
    EXPECT_THAT(Layers(DecodeFrame(
                    Eth4().Geneve(3, option_bytes).Ethernet().Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build())),
                ElementsAre("17 10.0.0.1:50001 > 10.0.0.2:6081", "6 3.3.3.3:1 > 4.4.4.4:2"));
  }
  EXPECT_EQ(DecodeFrame(Eth4().Geneve(3).Ipv6("::1", "::2").Udp(1, 2).Build()).layer_count, 2);
}

TEST(Decode, GtpUser) {
  EXPECT_THAT(Layers(DecodeFrame(Eth4().Gtp(3).Ipv6("::1", "::2").Tcp(1, 2).Build())),
              ElementsAre("17 10.0.0.1:2152 > 10.0.0.2:2152", "6 ::1:1 > ::2:2"));
  // Flags E and S: sequence number, then a PDU session container (2 units of 4 bytes) and no further
  // extension.
  const auto inner = PacketBuilder().Ipv4("3.3.3.3", "4.4.4.4").Tcp(1, 2).Build();
  const std::vector<uint8_t> optional = {0, 1, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0x20, 1, 0, 0, 0};
  auto frame = Eth4().Gtp(3).Raw(optional).Raw(inner).Build();
  frame[42] = 0x36;
  EXPECT_THAT(Layers(DecodeFrame(frame)),
              ElementsAre("17 10.0.0.1:2152 > 10.0.0.2:2152", "6 3.3.3.3:1 > 4.4.4.4:2"));
  frame[43] = 1;  // an echo request carries no packet
  EXPECT_EQ(DecodeFrame(frame).layer_count, 1);
  frame[43] = 0xff;
  frame[42 + 12] = 0;  // extension of length 0
  EXPECT_EQ(DecodeFrame(frame).layer_count, 1);
}

// What a shorter capture of the same frame may show.
void ExpectPrefix(const PacketHeaders& cut, const PacketHeaders& whole) {
  ASSERT_LE(cut.vlan_count, whole.vlan_count);
  ASSERT_LE(cut.mpls_count, whole.mpls_count);
  ASSERT_LE(cut.layer_count, whole.layer_count);
  for (unsigned i = 0; i < cut.vlan_count; ++i) EXPECT_EQ(cut.vlans[i], whole.vlans[i]);
  for (unsigned i = 0; i < cut.mpls_count; ++i) EXPECT_EQ(cut.mpls_labels[i], whole.mpls_labels[i]);
  for (unsigned i = 0; i < cut.layer_count; ++i) {
    const Layer& a = cut.layers[i];
    const Layer& b = whole.layers[i];
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.src, b.src);
    EXPECT_EQ(a.dst, b.dst);
    EXPECT_LE(a.has_ports, b.has_ports);
    if (a.has_ports) {
      EXPECT_EQ(a.protocol, b.protocol);
      EXPECT_EQ(a.src_port, b.src_port);
      EXPECT_EQ(a.dst_port, b.dst_port);
    }
    if (i + 1 < cut.layer_count) {
      EXPECT_EQ(a, b);
    }
  }
  EXPECT_LE(cut.truncated_layers, whole.truncated_layers);
}

TEST(Decode, EveryCutShowsAPrefix) {
  for (const std::vector<uint8_t>& frame : testing::EveryFrame()) {
    const PacketHeaders whole = DecodeFrame(frame);
    for (size_t size = 0; size <= frame.size(); ++size) {
      SCOPED_TRACE(size);
      ExpectPrefix(DecodeFrame({frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size)}), whole);
    }
  }
}

TEST(Decode, BrokenFramesStayInBounds) {
  std::mt19937_64 random(2);
  unsigned deep = 0;
  for (int i = 0; i < 50000; ++i) {
    const auto frame = testing::MakeBrokenFrame(random);
    const PacketHeaders headers = DecodeFrame(frame.bytes, frame.tag);
    ASSERT_LE(headers.layer_count, kMaxLayers);
    ASSERT_LE(headers.vlan_count, kMaxVlans);
    ASSERT_LE(headers.mpls_count, kMaxMplsLabels);
    deep += headers.layer_count > 1 ? 1 : 0;
  }
  EXPECT_GT(deep, 1000u) << "the generator no longer makes tunnels";
}

TEST(Decode, RandomBytesStayInBounds) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> bytes(random() % 200);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    ASSERT_LE(DecodeFrame(bytes).layer_count, kMaxLayers);
  }
}

}  // namespace
}  // namespace steno
