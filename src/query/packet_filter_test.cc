#include "query/packet_filter.h"

#include <gmock/gmock.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "index/builder.h"
#include "packet/decode.h"
#include "query/flow_select.h"
#include "query/parse.h"
#include "query/query_text_test.h"
#include "query/store_builder_test.h"
#include "testing/packet_builder.h"
#include "testing/random_frames.h"

namespace steno {
namespace {

using namespace steno::testing;
using Frame = std::vector<uint8_t>;
using B = PacketBuilder;

// Whether the query finds the packet, by its exact evaluation.
bool Finds(const std::string& text, const Frame& frame, const StrippedTag& tag = {},
           uint32_t more_bytes = 0) {
  const auto query = ParseQuery(text, 0);
  EXPECT_TRUE(query) << text << "\n" << QueryErrorText(query.error());
  if (!query) return false;
  PacketHeaders headers;
  Decode(frame, tag, headers);
  return Matches(
      **query, headers,
      {.original_bytes = static_cast<uint32_t>(frame.size()) + more_bytes, .frame = frame, .tag = tag});
}

Frame Syn(B builder) { return builder.Ipv4("10.0.0.1", "10.0.0.2").Tcp(1234, 80, 0x02).Payload(9).Build(); }

constexpr const char* kSyn = "tcp[tcpflags] & (tcp-syn | tcp-ack) = tcp-syn";

TEST(PacketFilter, AsksForBytesAndLength) {
  const Frame syn = Syn(B().Ethernet());
  ASSERT_EQ(syn.size(), 14u + 20 + 20 + 9);
  for (const char* text : {kSyn,
                           "tcp[13]=2",
                           "tcp[2:2] = 80",
                           "ip[0] & 0xf == 5",
                           "(ip[0] >> 4) * 2 + 1 = 9",
                           "ip[6:2] & 0x1fff = 0",
                           "len = 63",
                           "greater 63",
                           "less 63",
                           "len - 3 <= 60",
                           "ether[12:2] = 0x800",
                           "link[0] = 2",
                           "((tcp[12] & 0xf0) >> 2) = 20",
                           "not tcp[13] & 16 != 0",
                           "ip[tcp[13] + 7] = 6",
                           "5 < ip[9]",
                           "tcp[13] & 2 != 0 and port 80 or udp",
                           "TCP[TCPFLAGS] & TCP-SYN != 0",
                           "- ip[9] + 7 = 1",
                           "not (tcp[13] & 16) != 0 and tcp",
                           "(tcp and (tcp[13] & 1) = 0)"}) {
    EXPECT_TRUE(Finds(text, syn)) << text;
    EXPECT_FALSE(Finds(std::string("not (") + text + ")", syn)) << text;
  }
  for (const char* text : {"tcp[13] = 16", "udp[0] = 0", "ip6[0] = 0x60", "len < 63", "greater 64", "less 62",
                           "arp[0] = 0", "icmp[icmptype] = icmp-echo", "multicast"}) {
    EXPECT_FALSE(Finds(text, syn)) << text;
    EXPECT_TRUE(Finds(std::string("not (") + text + ")", syn)) << text;
  }
}

// As in tcpdump: what cannot be told is not found, neither way, and ends the query for this packet.
TEST(PacketFilter, MissingBytesEndTheQuery) {
  const Frame syn = Syn(B().Ethernet());
  for (const char* text : {"tcp[100] = 0", "not tcp[100] = 0", "tcp[100] = 0 or port 80",
                           "ip[9] / tcp[8] = 0", "not (udp or tcp[100] = 0)"}) {
    EXPECT_FALSE(Finds(text, syn)) << text;
    EXPECT_FALSE(PcapFilter(text).Matches(syn, syn.size())) << text;
  }
  for (const char* text : {"port 80 or tcp[100] = 0", "not (udp and tcp[100] = 0)", "not udp[100] = 0"}) {
    EXPECT_TRUE(Finds(text, syn)) << text;
    EXPECT_TRUE(PcapFilter(text).Matches(syn, syn.size())) << text;
  }
}

TEST(PacketFilter, ProgramsWithLoopsAreRefused) {
  EXPECT_FALSE(PacketFilter::Compile("ip6 protochain 6", PacketFilter::Reach::kLayers));
  EXPECT_FALSE(PacketFilter::Compile("protochain 6", PacketFilter::Reach::kLayers));
}

TEST(PacketFilter, SeesTheTagThatTheKernelTookOut) {
  const StrippedTag tag{true, 0x2005, 0x88a8};
  const Frame syn = Syn(B().Ethernet());
  EXPECT_TRUE(Finds("ether[12:2] = 0x88a8 and ether[14:2] & 0xfff = 5 and ether[16:2] = 0x800", syn, tag));
  EXPECT_TRUE(Finds("ether[0:4] = 0x02000000 and ether[8:4] = 1", syn, tag));
  EXPECT_TRUE(Finds("len = 67", syn, tag));
  EXPECT_TRUE(Finds("greater 167", syn, tag, 100));
  EXPECT_TRUE(Finds("vlan 5 and vlan and ip[9] = 6", syn, tag));
  EXPECT_TRUE(Finds(kSyn, syn, tag));
  EXPECT_FALSE(Finds("ether[12:2] = 0x800", syn, tag));
  // A frame that was cut off before the place of the tag.
  EXPECT_TRUE(Finds("ether[3] = 0", Frame(syn.begin(), syn.begin() + 8), tag));
  EXPECT_FALSE(Finds("ether[12] = 0x88", Frame(syn.begin(), syn.begin() + 8), tag));
  EXPECT_TRUE(Finds("ether[12] = 0x88", Frame(syn.begin(), syn.begin() + 12), tag));
}

TEST(PacketFilter, LooksIntoEveryLayer) {
  const auto outer = [] { return B().Ethernet().Ipv4("192.0.2.1", "192.0.2.2"); };
  const std::vector<B> carriers = {B().Ethernet().Vlan(5),
                                   B().Ethernet().Vlan(5, 0x88a8).Vlan(6),
                                   B().Ethernet().Mpls({100, 200}),
                                   B().Ethernet().Mpls({100}).Raw({0, 0, 0, 0}).Ethernet(),
                                   B().Ethernet().Pppoe(),
                                   B().Ethernet().Snap(),
                                   outer(),
                                   B().Ethernet().Ipv6("::1", "::2"),
                                   outer().Gre(true),
                                   outer().Vxlan(7).Ethernet().Vlan(3),
                                   outer().Geneve(7).Ethernet(),
                                   outer().Gtp(1),
                                   B().Ethernet().Vlan(9).Ipv4("192.0.2.1", "192.0.2.2").Gre()};
  for (const B& carrier : carriers) {
    const Frame frame = Syn(carrier);
    EXPECT_TRUE(Finds(kSyn, frame)) << ::testing::PrintToString(frame);
    EXPECT_TRUE(Finds("ip[16:4] = 0x0a000002", frame));
    EXPECT_FALSE(Finds(std::string("not ") + kSyn, frame));
    EXPECT_FALSE(Finds("tcp[13] = 16", frame));
  }
  // The outermost frame alone is what "ether" and "len" are about.
  const Frame vxlan = Syn(outer().Vxlan(7).Ethernet("02:00:00:00:00:07", "02:00:00:00:00:08"));
  EXPECT_FALSE(Finds("ether[5] = 8", vxlan));
  EXPECT_TRUE(Finds("len = " + std::to_string(vxlan.size()), vxlan));
  const Frame arp = B().Ethernet().Vlan(5).Arp("10.0.0.1", "10.0.0.2").Build();
  EXPECT_TRUE(Finds("arp[6:2] = 1", arp));
  EXPECT_FALSE(Finds("rarp[6:2] = 1", arp));
  EXPECT_TRUE(Finds("arp[6:2] = 1", outer().Vxlan(1).Ethernet().Arp("10.0.0.1", "10.0.0.2").Build()));
  EXPECT_TRUE(Finds("pppoes 1", B().Ethernet().Vlan(5).Raw({0x88, 0x64}).Build()) ||
              Finds("pppoes", Syn(B().Ethernet().Pppoe())));
}

// Of packets that were captured shorter than they were sent libpcap decides what can be seen.
TEST(PacketFilter, ShortPacketsAreAsInLibpcap) {
  const uint64_t seed = NumberFromEnvironment("STENO_SEED", std::random_device{}());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const QueryPools pools = FramePools();
  QueryWriter writer(random, pools);
  const std::vector<B> whole = {B().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Tcp(80, 443, 0x12).Payload(5),
                                B().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(53, 53).Payload(5),
                                B().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Icmp(8, 0).Payload(5),
                                B().Ethernet().Ipv6("::1", "::2").Icmp6(128, 0).Payload(5),
                                B().Ethernet().Arp("10.0.0.1", "10.0.0.2")};
  size_t matched = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = writer.Relation();
    const PcapFilter theirs(text);
    ASSERT_EQ(theirs.error(), "") << text;
    for (const B& builder : whole) {
      Frame frame = builder.Build();
      const auto sent = static_cast<uint32_t>(frame.size());
      frame.resize(random() % (frame.size() + 1));
      const bool expected = theirs.Matches(frame, sent);
      ASSERT_EQ(Finds(text, frame, {}, sent - static_cast<uint32_t>(frame.size())), expected)
          << text << "\nframe " << ::testing::PrintToString(frame);
      matched += expected ? 1 : 0;
    }
  }
  EXPECT_GT(matched, 1000u);
}

// An index rules flows out by what a filter implies, and never by the filter itself, not even under "not".
TEST(PacketFilter, IndexReadsOnlyWhatMayMatch) {
  StoreBuilder builder(1);
  TestBlocks blocks(1);
  for (int i = 0; i < 4000; ++i) {
    B packet = B().Ethernet().Ipv4("10.0.0.1", "10.0.0.2");
    const Frame frame = (i == 2000 ? packet.Tcp(1, 2, 0x02) : packet.Udp(53, 53)).Payload(100).Build();
    blocks[0].push_back({kTestStartNs + i, frame, {}, static_cast<uint32_t>(frame.size())});
  }
  builder.AddFile(0, static_cast<uint64_t>(kTestStartNs / 1000), blocks);
  Store store(builder.directories());
  const auto ask = [&](const char* text) {
    const ExpressionPtr query = ParseQuery(text, 0).value();
    const Answer answer = Ask(*query, store.Snapshot());
    EXPECT_EQ(Difference(answer.packets, builder.Expected(*query)), "") << text;
    return answer;
  };
  const Answer syn = ask(kSyn);
  EXPECT_EQ(syn.packets.size(), 1u);
  EXPECT_LT(syn.stats.packets_read, 200u);
  EXPECT_EQ(ask("tcp[13] = 16").packets.size(), 0u);
  EXPECT_EQ(ask("not tcp[13] = 2").packets.size(), 3999u);
  EXPECT_EQ(ask("not not tcp[13] = 2 and tcp").packets.size(), 1u);
  EXPECT_EQ(ask("ip6[6] = 58").stats.packets_read, 0u);
  EXPECT_EQ(ask("arp[6:2] = 1 or icmp[0] = 8").stats.packets_read, 0u);
}

TEST(PacketFilter, CompilesOnSeveralThreadsAtOnce) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const Frame syn = Syn(B().Ethernet());
      for (int i = 0; i < 200; ++i) {
        const std::string text =
            "tcp[" + std::to_string(i % 20) + "] >= 0 and len = " + std::to_string(63 + t % 2);
        EXPECT_EQ(Finds(text, syn), t % 2 == 0) << text;
      }
    });
  }
}

TEST(PacketFilter, TextsAreReadBack) {
  for (const auto& [text, printed] : std::vector<std::pair<std::string, std::string>>{
           {"tcp[13]&2!=0", "tcp[13] & 2 != 0"},
           {"TCP[TcpFlags]  ==0x10", "tcp[tcpflags] = 16"},
           {"( ip[2:2]-4 )>100", "(ip[2:2] - 4) > 100"},
           {"ip[ 2 : 2 ]>>3|1 = len", "ip[2:2] >> 3 | 1 = len"},
           {"greater 0x10", "greater 16"},
           {"tcp[0]=1 and(udp[0]=1||len>5)", "(tcp[0] = 1 and (udp[0] = 1 or len > 5))"},
           {"broadcast", "ether dst ff:ff:ff:ff:ff:ff"},
           {"ether multicast", "multicast"},
           {"ether proto \\stp", "ether proto \\stp"},
           {"ether proto \\ip", "ether proto 0x0800"},
           {"ether proto \\decnet or lat", "(ether proto 0x6003 or ether proto 0x6004)"},
           {"pppoes 0x5", "pppoes 5"},
           {"pppoed", "ether proto 0x8863"},
           {"llc UI", "llc ui"},
           {"iso proto \\esis", "iso proto 130"},
           {"geneve 9 or tcp", "(geneve 9 or proto 6)"},
           {"(1) = len or (port 80)", "((1) = len or port 80)"}}) {
    const auto query = ParseQuery(text, 0);
    ASSERT_TRUE(query) << text << "\n" << QueryErrorText(query.error());
    EXPECT_EQ(ToString(**query), printed);
    EXPECT_EQ(ToString(**ParseQuery(printed, 0)), printed);
  }
}

}  // namespace
}  // namespace steno
