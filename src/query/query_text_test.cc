#include "query/query_text_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "packet/address.h"
#include "query/time_parse.h"
#include "testing/random_frames.h"

namespace steno::testing {

namespace {

const std::vector<std::string> kShortNets = {"10", "10.0", "10.0.1", "192.168.255.254"};
const std::vector<std::string> kProtocols = {"1", "6", "17", "58", "132", "200", "\\tcp", "\\udp"};
const std::vector<std::string> kOperators = {" and ", " or ", " && ", " || "};
const std::vector<std::string> kComparisons = {"=", "==", "!=", "<", "<=", ">", ">="};

struct Source {
  std::string name;
  uint64_t bytes;
};
const std::vector<Source> kSources = {{"ether", 20}, {"ip", 20},   {"ip6", 40}, {"tcp", 20},
                                      {"udp", 8},    {"sctp", 12}, {"icmp", 8}, {"icmp6", 8},
                                      {"arp", 28},   {"link", 14}, {"igmp", 8}, {"rarp", 28}};

}  // namespace

QueryPools FramePools() {
  QueryPools pools;
  pools.v4.assign(PoolV4().begin(), PoolV4().end());
  pools.v6.assign(PoolV6().begin(), PoolV6().end());
  pools.macs = {"02:00:00:00:00:01", "02:00:00:00:00:02", "06:ff:00:11:22:33"};
  pools.ports.assign(PoolPorts().begin(), PoolPorts().end());
  return pools;
}

// A primitive that takes values, and what makes more of them: "tcp src port " and 80.
struct QueryWriter::Valued {
  enum Type { kHost4, kHost6, kNet4, kNet6, kPort, kRange, kProtocol, kMac };
  std::string qualifiers;
  Type type;
};

std::string QueryWriter::Network(bool v6) {
  if (!v6 && OneIn(4)) return Pick(kShortNets);
  const Address address = ParseAddress(Pick(v6 ? pools_.v6 : pools_.v4)).value();
  const unsigned bits = static_cast<unsigned>(Below(v6 ? 129 : 33));
  const std::string first = ToString(Prefix(address, bits).first);
  if (v6 || OneIn(2)) return fmt::format("{}/{}", first, bits);
  const std::string mask = ToString(Prefix(Address::V4(UINT32_MAX), bits).first);
  return fmt::format("{} mask {}", first, mask);
}

std::string QueryWriter::PortRange() {
  const int a = Pick(pools_.ports);
  const int b = Pick(pools_.ports);
  return fmt::format("{}-{}", std::min(a, b), std::max(a, b));
}

std::string QueryWriter::Value(int type) {
  switch (type) {
    case Valued::kHost4:
      return Pick(pools_.v4);
    case Valued::kHost6:
      return Pick(pools_.v6);
    case Valued::kNet4:
      return Network(false);
    case Valued::kNet6:
      return Network(true);
    case Valued::kPort:
      return fmt::format("{}", Pick(pools_.ports));
    case Valued::kRange:
      return PortRange();
    case Valued::kProtocol:
      return Pick(kProtocols);
    default:
      return Pick(pools_.macs);
  }
}

QueryWriter::Valued QueryWriter::MakeValued() {
  static const std::vector<std::string> sides = {
      "", "", "src ", "dst ", "src or dst ", "src and dst ", "dst and src "};
  static const std::vector<std::string> transports = {"", "", "tcp ", "udp ", "sctp "};
  static const std::vector<std::string> v4_layers = {"", "", "ip ", "rarp "};
  static const std::vector<std::string> v6_layers = {"", "ip6 "};
  const std::string& side = Pick(sides);
  const auto type = static_cast<Valued::Type>(Below(8));
  switch (type) {
    case Valued::kHost4:
      return {Pick(v4_layers) + side + (side.empty() || OneIn(2) ? "host " : ""), type};
    case Valued::kHost6:
      return {Pick(v6_layers) + side + "host ", type};
    case Valued::kNet4:
      return {Pick(v4_layers) + side + "net ", type};
    case Valued::kNet6:
      return {Pick(v6_layers) + side + "net ", type};
    case Valued::kPort:
      return {Pick(transports) + side + "port ", type};
    case Valued::kRange:
      return {Pick(transports) + side + "portrange ", type};
    case Valued::kProtocol:
      return {OneIn(3) ? "ip6 proto " : "proto ", type};
    default:
      return {"ether " + (side.size() > 4 ? "" : side) + "host ", type};
  }
}

std::string QueryWriter::TcpdumpPrimitive() {
  static const std::vector<std::string> alone = {"ip",  "ip6",  "arp",  "rarp",  "tcp",
                                                 "udp", "sctp", "icmp", "icmp6", "ether proto 0x0800"};
  if (OneIn(4)) return Pick(alone);
  if (OneIn(5)) return Relation();
  if (OneIn(8)) return Word();
  // tcpdump's "arp host" leaves RARP out; here both are the ARP layer.
  if (OneIn(12)) return "(arp host " + Pick(pools_.v4) + " and not rarp)";
  const Valued valued = MakeValued();
  std::string text = valued.qualifiers + Value(valued.type);
  if (!OneIn(4)) return text;
  for (auto more = Below(3); more > 0; --more) {
    text += OneIn(2) ? " or " : " and ";
    if (OneIn(4)) text += "not ";
    text += Value(valued.type);
  }
  return text;
}

// Primitives of nothing but words and numbers that libpcap compiles.
std::string QueryWriter::Word() {
  static const std::vector<std::string> words = {"broadcast",
                                                 "multicast",
                                                 "ether broadcast",
                                                 "ether multicast",
                                                 "ip multicast",
                                                 "ip6 multicast",
                                                 "ah",
                                                 "stp",
                                                 "aarp",
                                                 "atalk",
                                                 "ipx",
                                                 "netbeui",
                                                 "iso",
                                                 "clnp",
                                                 "esis",
                                                 "isis",
                                                 "l1",
                                                 "llc",
                                                 "llc ui",
                                                 "decnet",
                                                 "lat",
                                                 "moprc",
                                                 "pppoed",
                                                 "ether proto \\stp",
                                                 "iso proto 131",
                                                 "isis proto 15"};
  if (OneIn(3)) return fmt::format("{} {}", OneIn(2) ? "less" : "greater", Below(200));
  return Pick(words);
}

std::string QueryWriter::Number() {
  static const std::vector<uint64_t> common = {0, 1, 2, 4, 5, 6, 16, 17, 64, 69, 80, 255, 0x0800, 65535};
  if (OneIn(40)) return "4294967295";
  const uint64_t number = OneIn(4) ? Below(300) : Pick(common);
  return OneIn(4) ? fmt::format("{:#x}", number) : fmt::format("{}", number);
}

// "tcp[2:2]"
std::string QueryWriter::Bytes(unsigned depth) {
  const Source& source = Pick(kSources);
  static const std::vector<uint64_t> sizes = {1, 2, 4};
  const std::string offset =
      depth > 0 && OneIn(8) ? Arithmetic(depth - 1) : fmt::format("{}", Below(source.bytes));
  return OneIn(3) ? fmt::format("{}[{}:{}]", source.name, offset, Pick(sizes))
                  : fmt::format("{}[{}]", source.name, offset);
}

std::string QueryWriter::Arithmetic(unsigned depth) {
  static const std::vector<std::string> operators = {" & ", "&", " | ", " ^ ", " + ", " - ", " * "};
  static const std::vector<std::string> flags = {"tcp[tcpflags] & (tcp-syn | tcp-ack)", "tcp[tcpflags]",
                                                 "icmp[icmptype]", "icmp6[icmp6type]"};
  switch (Below(depth == 0 ? 5 : 10)) {
    case 0:
      return Number();
    case 1:
      return "len";
    case 2:
      return Pick(flags);
    case 3:
    case 4:
      return Bytes(depth);
    case 5:
      return fmt::format("({} {} {})", Arithmetic(depth - 1), OneIn(2) ? ">>" : "<<", Below(9));
    case 6:
      return fmt::format("{} {} {}", Bytes(depth), OneIn(2) ? "/" : "%", 1 + Below(9));
    case 7:
      return fmt::format("- {}", Bytes(depth));
    default:
      return Arithmetic(depth - 1) + Pick(operators) + (OneIn(2) ? Number() : Arithmetic(depth - 1));
  }
}

std::string QueryWriter::Relation() {
  std::string text = OneIn(8) ? Number() : OneIn(3) ? Arithmetic(2) : Bytes(1) + (OneIn(2) ? " & 0x1f" : "");
  const bool blank = OneIn(2);
  text += fmt::format("{0}{1}{0}", blank ? " " : "", Pick(kComparisons));
  return text + (OneIn(4) ? Arithmetic(1) : Number());
}

std::string QueryWriter::Range(uint64_t first, uint64_t count, uint64_t last) {
  const uint64_t low = first + Below(count);
  if (OneIn(2)) return fmt::format("{}", low);
  return fmt::format("{}-{}", low, std::min(last, low + Below(count)));
}

std::string QueryWriter::Time() {
  const auto span = static_cast<uint64_t>(end_ns_ - begin_ns_);
  const int64_t time =
      begin_ns_ - static_cast<int64_t>(span / 8) + static_cast<int64_t>(Below(span + span / 4));
  const char* const bound = OneIn(2) ? "after" : "before";
  switch (Below(4)) {
    case 0:
      return fmt::format("{} {}.{:09}", bound, time / 1'000'000'000, time % 1'000'000'000);
    case 1: {
      // The same moment in another zone.
      const int64_t minutes = static_cast<int64_t>(Below(1600)) - 800;
      std::string text = internal::FormatTime(time + minutes * 60'000'000'000);
      text.pop_back();
      return fmt::format("{} {}{}{:02}:{:02}", bound, text, minutes < 0 ? "-" : "+", std::abs(minutes) / 60,
                         std::abs(minutes) % 60);
    }
    case 2:
      return fmt::format("{} {}s ago", bound, 1 + Below(5));
    default:
      return fmt::format("{} {}", bound, internal::FormatTime(time));
  }
}

// What tcpdump does not know, or means differently.
std::string QueryWriter::OwnPrimitive() {
  static const std::vector<std::string> names = {"gre",      "ipip",   "ipv6",    "esp",    "igmp",
                                                 "icmpv6",   "ospf",   "carp",    "geneve", "geneve 5",
                                                 "geneve 1", "pppoes", "pppoes 1"};
  switch (Below(11)) {
    case 0:
    case 1:
      return Time();
    case 2:
      return OneIn(3) ? "vlan" : "vlan " + Range(0, 5, 4095);
    case 3:
      return OneIn(3) ? "mpls" : "mpls " + Range(15, 6, 0xfffff);
    case 4:
      return (OneIn(2) ? "proto " : "ip proto ") + Range(0, 60, 255);
    case 5:
      return "ether proto " + Range(2040, 20, 0xffff);
    case 6: {
      const bool v6 = OneIn(2);
      const Address a = ParseAddress(Pick(v6 ? pools_.v6 : pools_.v4)).value();
      const Address b = ParseAddress(Pick(v6 ? pools_.v6 : pools_.v4)).value();
      return fmt::format("net {}-{}", ToString(std::min(a, b)), ToString(std::max(a, b)));
    }
    case 7:
      return "arp host " + Pick(pools_.v4);
    case 8:
      return "icmp";
    case 9:
      return fmt::format("port ({} or not {})", Pick(pools_.ports), Pick(pools_.ports));
    default:
      return Pick(names);
  }
}

std::string QueryWriter::Filter(unsigned depth, bool own) {
  std::string text;
  for (auto count = 1 + Below(4); count > 0; --count) {
    if (!text.empty()) text += Pick(kOperators);
    if (OneIn(4)) text += OneIn(2) ? "not " : "!";
    if (depth > 1 && OneIn(3)) {
      text += "(" + Filter(depth - 1, own) + ")";
    } else {
      text += own && OneIn(3) ? OwnPrimitive() : TcpdumpPrimitive();
    }
  }
  return text;
}

std::string QueryWriter::OriginalTerm() {
  switch (Below(6)) {
    case 0:
      return "ip=" + Pick(OneIn(3) ? pools_.v6 : pools_.v4);
    case 1: {
      const Address a = ParseAddress(Pick(pools_.v4)).value();
      const Address b = ParseAddress(Pick(pools_.v4)).value();
      return fmt::format("ip = {}-{}", ToString(std::min(a, b)), ToString(std::max(a, b)));
    }
    case 2:
      return fmt::format("port={}", Pick(pools_.ports));
    case 3:
      return "port=" + PortRange();
    case 4:
      return fmt::format("last={}s", 1 + Below(5));
    default:
      return (OneIn(2) ? "protocol=" : "proto=") + Pick(kProtocols);
  }
}

std::string QueryWriter::Original() {
  std::string text = OriginalTerm();
  for (auto more = Below(4); more > 0; --more) text += (OneIn(2) ? "|" : " ") + OriginalTerm();
  return text;
}

std::string QueryWriter::AnyCase(std::string text) {
  if (OneIn(10))
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string QueryWriter::Tcpdump(unsigned depth) { return Filter(depth, false); }

std::string QueryWriter::Query(int64_t begin_ns, int64_t end_ns) {
  begin_ns_ = begin_ns;
  end_ns_ = end_ns;
  return AnyCase(OneIn(5) ? Original() : Filter(3, true));
}

PcapFilter::PcapFilter(const std::string& text) : pcap_(::pcap_open_dead(DLT_EN10MB, 262144)) {
  if (::pcap_compile(pcap_, &program_, text.c_str(), 0, PCAP_NETMASK_UNKNOWN) != 0)
    error_ = ::pcap_geterr(pcap_);
}

PcapFilter::~PcapFilter() {
  if (error_.empty()) ::pcap_freecode(&program_);
  ::pcap_close(pcap_);
}

bool PcapFilter::Matches(std::span<const uint8_t> frame, size_t wire_bytes) const {
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(frame.size());
  header.len = static_cast<bpf_u_int32>(wire_bytes);
  return ::pcap_offline_filter(&program_, &header, frame.data()) != 0;
}

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace steno::testing
