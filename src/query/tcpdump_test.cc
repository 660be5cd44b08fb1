// The pcap-filter syntax against libpcap: on packets without encapsulation, the part of the language that
// tcpdump has means the same here. Texts are generated without superfluous parentheses, so precedence is
// compared too.
#include <gmock/gmock.h>
#include <pcap/pcap.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "packet/decode.h"
#include "query/parse.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using Frame = std::vector<uint8_t>;
using Random = std::mt19937_64;

const std::vector<std::string> kV4 = {"10.0.0.1",   "10.0.0.2",    "10.0.1.1",
                                      "10.128.0.1", "192.168.1.7", "0.0.0.0"};
const std::vector<std::string> kV6 = {"::1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1",
                                      "fe80::1:2:3:4"};
const std::vector<std::string> kMacs = {"02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"};
const std::vector<std::string> kShortNets = {"10", "10.0", "10.0.1", "192.168.1.7"};
const std::vector<std::string> kProtocols = {"1", "6", "17", "58", "132", "200", "\\tcp", "\\udp"};
const std::vector<std::string> kOperators = {" and ", " or ", " && ", " || "};
const std::vector<int> kPorts = {0, 53, 80, 81, 443, 1024, 65535};

template <class T>
const T& Pick(Random& random, const std::vector<T>& pool) {
  return pool[random() % pool.size()];
}

Frame MakeFrame(Random& random) {
  steno::testing::PacketBuilder builder;
  builder.Ethernet(Pick(random, kMacs), Pick(random, kMacs));
  const auto port = [&] { return static_cast<uint16_t>(Pick(random, kPorts)); };
  const auto shape = random() % 10;
  if (shape == 0) {
    Frame frame = builder.Arp(Pick(random, kV4), Pick(random, kV4)).Build();
    if (random() % 3 == 0) frame[12] = 0x80, frame[13] = 0x35;  // the same as RARP
    return frame;
  }
  const bool v6 = shape < 4;
  v6 ? builder.Ipv6(Pick(random, kV6), Pick(random, kV6))
     : builder.Ipv4(Pick(random, kV4), Pick(random, kV4));
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

std::string Network(Random& random, bool v6) {
  if (!v6 && random() % 4 == 0) return Pick(random, kShortNets);
  const Address address = ParseAddress(Pick(random, v6 ? kV6 : kV4)).value();
  const unsigned bits = static_cast<unsigned>(random() % (v6 ? 129 : 33));
  return ToString(Prefix(address, bits).first) + "/" + std::to_string(bits);
}

std::string PortRange(Random& random) {
  const int a = Pick(random, kPorts);
  const int b = Pick(random, kPorts);
  return std::to_string(std::min(a, b)) + "-" + std::to_string(std::max(a, b));
}

// A primitive that takes values, and what makes more of them: "tcp src port " and 80.
struct Valued {
  std::string qualifiers;
  enum class Type { kHost4, kHost6, kNet4, kNet6, kPort, kRange, kProtocol, kMac } type;
};

std::string Value(Random& random, Valued::Type type) {
  switch (type) {
    case Valued::Type::kHost4:
      return Pick(random, kV4);
    case Valued::Type::kHost6:
      return Pick(random, kV6);
    case Valued::Type::kNet4:
      return Network(random, false);
    case Valued::Type::kNet6:
      return Network(random, true);
    case Valued::Type::kPort:
      return std::to_string(Pick(random, kPorts));
    case Valued::Type::kRange:
      return PortRange(random);
    case Valued::Type::kProtocol:
      return Pick(random, kProtocols);
    case Valued::Type::kMac:
      return Pick(random, kMacs);
  }
  return "";
}

Valued MakeValued(Random& random) {
  static const std::vector<std::string> sides = {
      "", "", "src ", "dst ", "src or dst ", "src and dst ", "dst and src "};
  static const std::vector<std::string> transports = {"", "", "tcp ", "udp ", "sctp "};
  static const std::vector<std::string> v4_layers = {"", "", "ip ", "rarp "};
  static const std::vector<std::string> v6_layers = {"", "ip6 "};
  const std::string side = Pick(random, sides);
  const auto type = static_cast<Valued::Type>(random() % 8);
  switch (type) {
    case Valued::Type::kHost4:
      return {Pick(random, v4_layers) + side + (side.empty() || random() % 2 == 0 ? "host " : ""), type};
    case Valued::Type::kHost6:
      return {Pick(random, v6_layers) + side + "host ", type};
    case Valued::Type::kNet4:
      return {Pick(random, v4_layers) + side + "net ", type};
    case Valued::Type::kNet6:
      return {Pick(random, v6_layers) + side + "net ", type};
    case Valued::Type::kPort:
      return {Pick(random, transports) + side + "port ", type};
    case Valued::Type::kRange:
      return {Pick(random, transports) + side + "portrange ", type};
    case Valued::Type::kProtocol:
      return {random() % 3 == 0 ? "ip6 proto " : "proto ", type};
    case Valued::Type::kMac:
      return {"ether " + (side.size() > 4 ? "" : side) + "host ", type};
  }
  return {};
}

std::string Primitive(Random& random) {
  static const std::vector<std::string> alone = {"ip",  "ip6",  "arp",  "rarp",  "tcp",
                                                 "udp", "sctp", "icmp", "icmp6", "ether proto 0x0800"};
  if (random() % 4 == 0) return Pick(random, alone);
  // tcpdump's "arp host" leaves RARP out; here both are the ARP layer.
  if (random() % 12 == 0) return "(arp host " + Pick(random, kV4) + " and not rarp)";
  const Valued valued = MakeValued(random);
  std::string text = valued.qualifiers + Value(random, valued.type);
  if (random() % 4 != 0) return text;
  for (auto more = random() % 3; more > 0; --more) {
    text += random() % 2 == 0 ? " or " : " and ";
    if (random() % 4 == 0) text += "not ";
    text += Value(random, valued.type);
  }
  return text;
}

std::string Filter(Random& random, unsigned depth) {
  std::string text;
  for (auto count = 1 + random() % 4; count > 0; --count) {
    if (!text.empty()) text += Pick(random, kOperators);
    if (random() % 4 == 0) text += random() % 2 == 0 ? "not " : "!";
    text += depth > 1 && random() % 3 == 0 ? "(" + Filter(random, depth - 1) + ")" : Primitive(random);
  }
  return text;
}

// libpcap's opinion. Not optimised, so that a filter that can match nothing still compiles.
class PcapFilter {
 public:
  explicit PcapFilter(const std::string& text) : pcap_(::pcap_open_dead(DLT_EN10MB, 65535)) {
    if (::pcap_compile(pcap_, &program_, text.c_str(), 0, PCAP_NETMASK_UNKNOWN) != 0)
      error_ = ::pcap_geterr(pcap_);
  }
  PcapFilter(const PcapFilter&) = delete;
  PcapFilter& operator=(const PcapFilter&) = delete;
  ~PcapFilter() {
    if (error_.empty()) ::pcap_freecode(&program_);
    ::pcap_close(pcap_);
  }

  [[nodiscard]] const std::string& error() const { return error_; }

  [[nodiscard]] bool Matches(const Frame& frame) const {
    pcap_pkthdr header{};
    header.caplen = header.len = static_cast<bpf_u_int32>(frame.size());
    return ::pcap_offline_filter(&program_, &header, frame.data()) != 0;
  }

 private:
  pcap_t* pcap_;
  bpf_program program_{};
  std::string error_;
};

struct Sample {
  Frame frame;
  PacketHeaders headers;
};

std::vector<Sample> MakeSamples(Random& random, size_t count) {
  std::vector<Sample> samples(count);
  for (Sample& sample : samples) {
    sample.frame = MakeFrame(random);
    Decode(sample.frame, {}, sample.headers);
  }
  return samples;
}

TEST(Tcpdump, RandomFiltersMeanTheSame) {
  const uint64_t seed = std::random_device{}();
  Random random(seed);
  std::vector<Sample> samples;
  uint64_t matched = 0;
  constexpr int kFilters = 3000;
  for (int i = 0; i < kFilters; ++i) {
    if (i % 100 == 0) samples = MakeSamples(random, 200);
    const std::string text = Filter(random, 3);
    const PcapFilter theirs(text);
    ASSERT_EQ(theirs.error(), "") << "seed " << seed << ": " << text;
    const auto ours = ParseQuery(text, 0);
    ASSERT_TRUE(ours.has_value()) << "seed " << seed << ": " << text << "\n" << QueryErrorText(ours.error());
    for (const Sample& sample : samples) {
      const bool expected = theirs.Matches(sample.frame);
      matched += expected ? 1 : 0;
      ASSERT_EQ(Matches(**ours, sample.headers, 0), expected)
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
    EXPECT_NE(PcapFilter(text).error(), "") << text;
    EXPECT_FALSE(ParseQuery(text, 0).has_value()) << text;
  }
}

}  // namespace
}  // namespace steno
