#include "packet/term.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "packet/decode.h"
#include "packet/flow_key.h"
#include "testing/packet_builder.h"
#include "testing/random_frames.h"

namespace steno {
namespace {

using testing::PacketBuilder;

PacketHeaders HeadersOf(const PacketBuilder& builder) {
  PacketHeaders headers;
  Decode(builder.Build(), {}, headers);
  return headers;
}

Term Host(const char* text, Side side = Side::kEither) {
  const Address address = ParseAddress(text).value();
  Term term;
  term.side = side;
  term.addresses = {address, address};
  return term;
}

Term Number(TermKind kind, uint32_t first, uint32_t last) {
  Term term;
  term.kind = kind;
  term.first = first;
  term.last = last;
  return term;
}

Term Port(uint16_t port, Side side = Side::kEither, int16_t protocol = -1) {
  Term term = Number(TermKind::kPort, port, port);
  term.side = side;
  term.protocol = protocol;
  return term;
}

Term Layers(uint8_t kinds) {
  Term term;
  term.kind = TermKind::kLayer;
  term.layer_kinds = kinds;
  return term;
}

Term Mac(uint8_t last_byte, Side side = Side::kEither) {
  Term term;
  term.kind = TermKind::kMac;
  term.side = side;
  term.mac = {2, 0, 0, 0, 0, last_byte};
  return term;
}

const PacketHeaders kTcp = HeadersOf(PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Tcp(1234, 80));
const PacketHeaders kTunnel = HeadersOf(PacketBuilder()
                                            .Ethernet()
                                            .Vlan(5)
                                            .Ipv4("10.0.0.1", "10.0.0.2")
                                            .Vxlan(7)
                                            .Ethernet()
                                            .Vlan(6)
                                            .Ipv6("::1", "::2")
                                            .Udp(53, 53));

TEST(Term, AddressSides) {
  EXPECT_TRUE(Matches(Host("10.0.0.1"), kTcp));
  EXPECT_TRUE(Matches(Host("10.0.0.2"), kTcp));
  EXPECT_FALSE(Matches(Host("10.0.0.3"), kTcp));
  EXPECT_TRUE(Matches(Host("10.0.0.1", Side::kSource), kTcp));
  EXPECT_FALSE(Matches(Host("10.0.0.2", Side::kSource), kTcp));
  EXPECT_TRUE(Matches(Host("10.0.0.2", Side::kDestination), kTcp));
  EXPECT_FALSE(Matches(Host("10.0.0.1", Side::kBoth), kTcp));
  Term net;
  net.side = Side::kBoth;
  net.addresses = Prefix(Address::V4(0x0a000000), 24);
  EXPECT_TRUE(Matches(net, kTcp));
}

TEST(Term, BothMeansBothEndsOfOneLayer) {
  const PacketHeaders headers =
      HeadersOf(PacketBuilder().Ethernet().Ipv4("1.1.1.1", "2.2.2.2").Ipv4("3.3.3.3", "1.1.1.1").Tcp(1, 2));
  EXPECT_TRUE(Matches(Host("1.1.1.1", Side::kSource), headers));
  EXPECT_TRUE(Matches(Host("1.1.1.1", Side::kDestination), headers));
  EXPECT_FALSE(Matches(Host("1.1.1.1", Side::kBoth), headers));
}

TEST(Term, SeesInnerLayersAndTags) {
  EXPECT_TRUE(Matches(Host("::2"), kTunnel));
  EXPECT_TRUE(Matches(Host("10.0.0.2"), kTunnel));
  EXPECT_TRUE(Matches(Port(4789), kTunnel));
  EXPECT_TRUE(Matches(Port(53, Side::kBoth), kTunnel));
  EXPECT_FALSE(Matches(Port(80), kTunnel));
  EXPECT_TRUE(Matches(Number(TermKind::kVlan, 6, 6), kTunnel));
  EXPECT_TRUE(Matches(Number(TermKind::kVlan, 0, 4095), kTunnel));
  EXPECT_FALSE(Matches(Number(TermKind::kVlan, 7, 9), kTunnel));
  EXPECT_FALSE(Matches(Number(TermKind::kVlan, 0, 4095), kTcp));
  EXPECT_TRUE(Matches(Layers(kLayerBitIpv6), kTunnel));
  EXPECT_FALSE(Matches(Layers(kLayerBitIpv6), kTcp));
}

TEST(Term, LayerKindsMask) {
  Term host = Host("::2");
  host.layer_kinds = kLayerBitIpv4;
  EXPECT_FALSE(Matches(host, kTunnel));
  Term port = Port(53);
  port.layer_kinds = kLayerBitIpv4;
  EXPECT_FALSE(Matches(port, kTunnel));
  Term udp = Number(TermKind::kProtocol, 17, 17);
  udp.layer_kinds = kLayerBitIpv6;
  EXPECT_TRUE(Matches(udp, kTunnel));
  EXPECT_FALSE(Matches(udp, kTcp));
}

TEST(Term, PortNeedsPortsAndProtocol) {
  EXPECT_TRUE(Matches(Port(80, Side::kDestination, 6), kTcp));
  EXPECT_FALSE(Matches(Port(80, Side::kEither, 17), kTcp));
  const PacketHeaders ping = HeadersOf(PacketBuilder().Ethernet().Ipv4("1.1.1.1", "2.2.2.2").Icmp(8, 0));
  EXPECT_FALSE(Matches(Number(TermKind::kPort, 0, 65535), ping));
}

TEST(Term, ArpHasAddressesButNoProtocol) {
  const PacketHeaders arp = HeadersOf(PacketBuilder().Ethernet().Arp("10.0.0.1", "10.0.0.2"));
  EXPECT_FALSE(Matches(Host("10.0.0.1"), arp)) << "not among the usual layers";
  Term host = Host("10.0.0.1");
  host.layer_kinds = kLayerBitsIp | kLayerBitArp;
  EXPECT_TRUE(Matches(host, arp));
  Term any = Number(TermKind::kProtocol, 0, 255);
  any.layer_kinds = kLayerBitsIp | kLayerBitArp;
  EXPECT_FALSE(Matches(any, arp));
  EXPECT_TRUE(Matches(Layers(kLayerBitArp), arp));
  EXPECT_TRUE(Matches(Number(TermKind::kEtherType, 0x806, 0x806), arp));
}

TEST(Term, MplsAndMac) {
  const PacketHeaders labels = HeadersOf(PacketBuilder().Ethernet().Mpls({20, 30}));
  EXPECT_TRUE(Matches(Number(TermKind::kMpls, 30, 30), labels));
  EXPECT_FALSE(Matches(Number(TermKind::kMpls, 21, 29), labels));
  EXPECT_TRUE(Matches(Mac(1, Side::kSource), kTcp));
  EXPECT_FALSE(Matches(Mac(1, Side::kDestination), kTcp));
  EXPECT_FALSE(Matches(Mac(3), kTcp));
  Term zero = Mac(0);
  zero.mac = {};
  EXPECT_FALSE(Matches(zero, PacketHeaders{})) << "no MAC addresses captured";
}

PacketHeaders FlowOf(const PacketHeaders& headers) {
  FlowKey key;
  MakeFlowKey(headers, key);
  PacketHeaders flow;
  EXPECT_TRUE(ParseFlowKey(key.kind, key.view(), flow).has_value());
  return flow;
}

TEST(Term, FlowsDoNotKnowDirection) {
  const PacketHeaders flow = FlowOf(kTcp);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.1"), flow), Tri::kYes);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.9"), flow), Tri::kNo);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.1", Side::kSource), flow), Tri::kMaybe);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.9", Side::kSource), flow), Tri::kNo);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.1", Side::kBoth), flow), Tri::kNo);
  EXPECT_EQ(MatchesFlow(Port(53, Side::kDestination), FlowOf(kTunnel)), Tri::kYes);
  EXPECT_EQ(MatchesFlow(Mac(1), flow), Tri::kMaybe);
  const PacketHeaders other = FlowOf(HeadersOf(PacketBuilder().Ethernet().Payload(40)));
  EXPECT_EQ(MatchesFlow(Mac(1), other), Tri::kYes);
  EXPECT_EQ(MatchesFlow(Mac(1, Side::kSource), other), Tri::kMaybe);
  EXPECT_EQ(MatchesFlow(Mac(9), other), Tri::kNo);
}

TEST(Term, WhatWasCutOffMayMatch) {
  PacketHeaders headers = kTcp;
  headers.truncated_layers = true;
  EXPECT_FALSE(Matches(Host("10.0.0.9"), headers));
  EXPECT_EQ(MatchesFlow(Host("10.0.0.9"), FlowOf(headers)), Tri::kMaybe);
  EXPECT_EQ(MatchesFlow(Host("10.0.0.1"), FlowOf(headers)), Tri::kYes);
  EXPECT_EQ(MatchesFlow(Number(TermKind::kVlan, 1, 1), FlowOf(headers)), Tri::kMaybe);
}

Term RandomTerm(std::mt19937_64& random) {
  Term term;
  term.kind = static_cast<TermKind>(random() % 8);
  term.side = static_cast<Side>(random() % 4);
  term.layer_kinds = random() % 3 == 0 ? static_cast<uint8_t>(1 + random() % 7) : uint8_t{7};
  if (term.kind == TermKind::kPort && random() % 2 == 0) term.protocol = random() % 2 == 0 ? 6 : 17;
  const auto& pool = random() % 2 == 0 ? testing::PoolV4() : testing::PoolV6();
  const Address address = ParseAddress(pool[random() % pool.size()]).value();
  term.addresses = random() % 3 == 0 ? Prefix(address, static_cast<unsigned>(random() % 33))
                                     : AddressRange{address, address};
  term.first = static_cast<uint32_t>(random() % 30);
  if (random() % 2 == 0) term.first = testing::PoolPorts()[random() % testing::PoolPorts().size()];
  term.last = term.first + static_cast<uint32_t>(random() % 3 == 0 ? random() % 1000 : 0);
  term.mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(random() % 3)};
  return term;
}

// The index's promise: yes means every packet of the flow, no means none.
TEST(Term, FlowsAgreeWithTheirPackets) {
  std::mt19937_64 random(7);
  unsigned answers[3] = {};
  for (int i = 0; i < 20000; ++i) {
    const auto frame = i % 2 == 0 ? testing::MakeRandomFrame(random) : testing::MakeBrokenFrame(random);
    PacketHeaders forth;
    Decode(frame.bytes, frame.tag, forth);
    PacketHeaders back = forth;
    std::swap(back.src_mac, back.dst_mac);
    for (Layer& layer : back.layers) {
      std::swap(layer.src, layer.dst);
      std::swap(layer.src_port, layer.dst_port);
    }
    const PacketHeaders flow = FlowOf(forth);
    for (int j = 0; j < 20; ++j) {
      const Term term = RandomTerm(random);
      const Tri answer = MatchesFlow(term, flow);
      ++answers[static_cast<int>(answer)];
      for (const PacketHeaders& packet : {forth, back}) {
        const bool matches = Matches(term, packet);
        if (answer != Tri::kMaybe) {
          ASSERT_EQ(matches, answer == Tri::kYes) << i << " " << ToString(term);
        }
      }
      const bool directed = term.side == Side::kSource || term.side == Side::kDestination;
      if (term.kind != TermKind::kMac && !directed && !flow.truncated_layers) {
        ASSERT_NE(answer, Tri::kMaybe) << i << " " << ToString(term);
      }
    }
  }
  for (const unsigned count : answers) EXPECT_GT(count, 5000u);
}

TEST(Term, Text) {
  EXPECT_EQ(ToString(Host("10.0.0.1")), "host 10.0.0.1");
  EXPECT_EQ(ToString(Host("::1", Side::kDestination)), "dst host ::1");
  Term net = Host("10.0.0.0", Side::kSource);
  net.addresses = Prefix(net.addresses.first, 24);
  EXPECT_EQ(ToString(net), "src net 10.0.0.0-10.0.0.255");
  net.layer_kinds = kLayerBitArp;
  EXPECT_EQ(ToString(net), "arp src net 10.0.0.0-10.0.0.255");
  EXPECT_EQ(ToString(Port(80)), "port 80");
  EXPECT_EQ(ToString(Port(80, Side::kBoth, 6)), "tcp src and dst port 80");
  EXPECT_EQ(ToString(Number(TermKind::kPort, 1, 9)), "portrange 1-9");
  EXPECT_EQ(ToString(Number(TermKind::kProtocol, 6, 6)), "proto 6");
  EXPECT_EQ(ToString(Layers(kLayerBitsIp)), "ip or ip6");
  EXPECT_EQ(ToString(Number(TermKind::kVlan, 0, 4095)), "vlan");
  EXPECT_EQ(ToString(Number(TermKind::kMpls, 7, 7)), "mpls 7");
  EXPECT_EQ(ToString(Number(TermKind::kEtherType, 0x800, 0x800)), "ether proto 0x0800");
  EXPECT_EQ(ToString(Mac(0xab, Side::kSource)), "ether src 02:00:00:00:00:ab");
}

}  // namespace
}  // namespace steno
