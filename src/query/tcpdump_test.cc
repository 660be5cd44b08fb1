// The pcap-filter syntax against libpcap: on packets without encapsulation, the part of the language that
// tcpdump has means the same here. Texts are generated without superfluous parentheses, so precedence is
// compared too.
#include <gmock/gmock.h>
#include <random>
#include <string>
#include <vector>

#include "packet/decode.h"
#include "query/parse.h"
#include "query/query_text_test.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using Frame = std::vector<uint8_t>;
using Random = std::mt19937_64;

const steno::testing::QueryPools kPools = {
    {"10.0.0.1", "10.0.0.2", "10.0.1.1", "10.128.0.1", "192.168.1.7", "0.0.0.0"},
    {"::1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1:2:3:4", "ff02::1"},
    {"02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"},
    {0, 53, 80, 81, 443, 1024, 65535}};

template <class T>
const T& Pick(Random& random, const std::vector<T>& pool) {
  return pool[random() % pool.size()];
}

Frame MakeFrame(Random& random) {
  steno::testing::PacketBuilder builder;
  builder.Ethernet(Pick(random, kPools.macs), Pick(random, kPools.macs));
  const auto port = [&] { return static_cast<uint16_t>(Pick(random, kPools.ports)); };
  const auto shape = random() % 10;
  if (shape == 0) {
    Frame frame = builder.Arp(Pick(random, kPools.v4), Pick(random, kPools.v4)).Build();
    if (random() % 3 == 0) frame[12] = 0x80, frame[13] = 0x35;  // the same as RARP
    return frame;
  }
  const bool v6 = shape < 4;
  v6 ? builder.Ipv6(Pick(random, kPools.v6), Pick(random, kPools.v6))
     : builder.Ipv4(Pick(random, kPools.v4), Pick(random, kPools.v4));
  if (shape == 9) builder.Fragment(static_cast<uint16_t>(random() % 3 * 8), true);
  switch (random() % 4) {
    case 0:
      builder.Tcp(port(), port());
      break;
    case 1:
      builder.Udp(port(), port());
      break;
    case 2:
      builder.Sctp(port(), port());
      break;
    default:
      v6 ? builder.Icmp6(128, 0) : builder.Icmp(8, 0);
  }
  return builder.Payload(random() % 20).Build();
}

struct Sample {
  Frame frame;
  PacketHeaders headers;
};

PacketView ViewOf(const Frame& frame) {
  return {.original_bytes = static_cast<uint32_t>(frame.size()), .frame = frame, .tag = {}};
}

std::vector<Sample> MakeSamples(Random& random, size_t count) {
  std::vector<Sample> samples(count);
  for (Sample& sample : samples) {
    sample.frame = MakeFrame(random);
    Decode(sample.frame, {}, sample.headers);
  }
  return samples;
}

TEST(Tcpdump, RandomFiltersMeanTheSame) {
  const uint64_t seed = steno::testing::NumberFromEnvironment("STENO_SEED", std::random_device{}());
  Random random(seed);
  steno::testing::QueryWriter writer(random, kPools);
  std::vector<Sample> samples;
  uint64_t matched = 0;
  constexpr int kFilters = 3000;
  for (int i = 0; i < kFilters; ++i) {
    if (i % 100 == 0) samples = MakeSamples(random, 200);
    const std::string text = writer.Tcpdump();
    const steno::testing::PcapFilter theirs(text);
    ASSERT_EQ(theirs.error(), "") << "seed " << seed << ": " << text;
    const auto ours = ParseQuery(text, 0);
    ASSERT_TRUE(ours.has_value()) << "seed " << seed << ": " << text << "\n" << QueryErrorText(ours.error());
    for (const Sample& sample : samples) {
      const bool expected = theirs.Matches(sample.frame, sample.frame.size());
      matched += expected ? 1 : 0;
      ASSERT_EQ(Matches(**ours, sample.headers, ViewOf(sample.frame)), expected)
          << "seed " << seed << ": " << text << "\nas " << ToString(**ours) << "\nframe "
          << ::testing::PrintToString(sample.frame);
    }
  }
  EXPECT_GT(matched, kFilters * 200u / 10);
  EXPECT_LT(matched, kFilters * 200u * 9 / 10);
}

// Known wrong filters: what tcpdump refuses here, we refuse too.
TEST(Tcpdump, RefusesTheSame) {
  for (const char* text : {"tcp host 10.0.0.1",
                           "ip port 80",
                           "icmp port 5",
                           "tcp or 80",
                           "1.2.3.4",
                           "port 80 port 90",
                           "ip host ::1",
                           "ip6 host 10.0.0.1",
                           "port (tcp)",
                           "host 10.0.0.0/8",
                           "port 80-90",
                           "not",
                           "(tcp",
                           "tcp)",
                           "ether dst 1.2.3.4",
                           "port 80 or 90-100",
                           "src tcp",
                           "tcp and",
                           "portrange x",
                           "port 70000",
                           "net 10.0.0.0/33"}) {
    EXPECT_NE(steno::testing::PcapFilter(text).error(), "") << text;
    EXPECT_FALSE(ParseQuery(text, 0).has_value()) << text;
  }
}

}  // namespace
}  // namespace steno
