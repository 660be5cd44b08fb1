// What queries mean: text -> tree, printed by ToString(). Wrong queries are in parse_error_test.cc.
#include "query/parse.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netdb.h>

namespace steno {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kNow = 1'700'000'000 * kSecond;  // 2023-11-14T22:13:20Z

std::string Parsed(std::string_view text) {
  const auto expression = ParseQuery(text, kNow);
  return expression ? ToString(**expression) : QueryErrorText(expression.error());
}

Term TermOf(std::string_view text) {
  const auto expression = ParseQuery(text, kNow);
  EXPECT_TRUE(expression.has_value()) << text;
  if (!expression) return {};
  EXPECT_EQ((*expression)->kind, NodeKind::kTerm) << text;
  return (*expression)->term;
}

struct Case {
  const char* query;
  const char* expected;
};

void ExpectAll(std::initializer_list<Case> cases) {
  for (const Case& c : cases) EXPECT_EQ(Parsed(c.query), c.expected) << c.query;
}

TEST(ParseOriginal, Terms) {
  ExpectAll({
      {"ip=1.2.3.4", "ip host 1.2.3.4"},
      {"ip=1.2.3.4-1.2.3.9", "ip net 1.2.3.4-1.2.3.9"},
      {"ip=2001:db8::1", "host 2001:db8::1"},
      {"ip=2001:db8::1-2001:db8::ff", "net 2001:db8::1-2001:db8::ff"},
      {"ip=::ffff:1.2.3.4", "host ::ffff:1.2.3.4"},
      {"port=80", "port 80"},
      {"port=80-90", "portrange 80-90"},
      {"protocol=6", "proto 6"},
      {"proto=17", "proto 17"},
      {"protocol=icmp6", "proto 58"},
      {"PROTO=TCP", "proto 6"},
      {"IP=1.2.3.4", "ip host 1.2.3.4"},
      {"last=4h", "after 2023-11-14T18:13:20Z"},
      {"last=45m", "after 2023-11-14T21:28:20Z"},
      {"last=30s", "after 2023-11-14T22:12:50Z"},
      {"last=2d", "after 2023-11-12T22:13:20Z"},
      {"last=1h30m", "after 2023-11-14T20:43:20Z"},
  });
  EXPECT_EQ(TermOf("ip=1.2.3.4").layer_kinds, kLayerBitsIp);
}

TEST(ParseOriginal, UnionBindsTighterThanIntersection) {
  ExpectAll({
      {"ip=1.1.1.1 ip=2.2.2.2|ip=3.3.3.3", "(ip host 1.1.1.1 and (ip host 2.2.2.2 or ip host 3.3.3.3))"},
      {"port=1|port=2 port=3 | port=4", "((port 1 or port 2) and (port 3 or port 4))"},
      {"  port=1  |\n\tport=2|port=3 ", "(port 1 or port 2 or port 3)"},
      {"ip = 1.1.1.1 port = 5", "(ip host 1.1.1.1 and port 5)"},
      {"ip=1.1.1.1 protocol=6 last=4h", "(ip host 1.1.1.1 and proto 6 and after 2023-11-14T18:13:20Z)"},
  });
}

TEST(ParseFilter, WhatTheIncumbentAccepts) {
  ExpectAll({
      {"host 8.8.8.8", "host 8.8.8.8"},
      {"net 1.0.0.0/8", "net 1.0.0.0-1.255.255.255"},
      {"net 1.2.3.4/8", "net 1.0.0.0-1.255.255.255"},
      {"net 1.0.0.0 mask 255.255.255.0", "net 1.0.0.0-1.0.0.255"},
      {"net 1.0.0.0 / 24", "net 1.0.0.0-1.0.0.255"},
      {"net 2001:db8::/32", "net 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"net ::1/128", "host ::1"},
      {"port 80", "port 80"},
      {"vlan 5", "vlan 5"},
      {"mpls 1048575", "mpls 1048575"},
      {"ip proto 6", "proto 6"},
      {"icmp", "proto 1"},
      {"tcp", "proto 6"},
      {"udp", "proto 17"},
      {"before 2012-11-03T11:05:00Z", "before 2012-11-03T11:05:00Z"},
      {"after 2012-11-03T11:05:00-07:00", "after 2012-11-03T18:05:00Z"},
      {"before 45m ago", "before 2023-11-14T21:28:20Z"},
      {"after 3h ago", "after 2023-11-14T19:13:20Z"},
      {"(udp and port 514) or (tcp and port 8080)", "((proto 17 and port 514) or (proto 6 and port 8080))"},
      {"udp && port 514 || tcp", "((proto 17 and port 514) or proto 6)"},
      {"(port 1 or ip proto 2) and after 3h ago", "((port 1 or proto 2) and after 2023-11-14T19:13:20Z)"},
  });
}

// The text that Security Onion and docket send.
TEST(ParseFilter, QueriesOfExistingClients) {
  ExpectAll({
      {"before 2006-01-02T15:06:05Z and after 2006-01-02T15:05:05Z and tcp and host 10.0.0.1 and host "
       "10.0.0.2 and "
       "port 80 and port 1234",
       "(before 2006-01-02T15:06:05Z and after 2006-01-02T15:05:05Z and proto 6 and host 10.0.0.1 and host "
       "10.0.0.2 and port 80 and port 1234)"},
      {"before 2006-01-02T15:06:05Z and after 2006-01-02T15:05:05Z and ipv6-icmp",
       "(before 2006-01-02T15:06:05Z and after 2006-01-02T15:05:05Z and proto 58)"},
      {"host 1.2.3.4 and net 1.2.3.0/24 and port 5 and ip proto 6 and tcp and after 2019-08-09T10:54:22Z and "
       "before "
       "2019-08-09T10:58:22Z",
       "(host 1.2.3.4 and net 1.2.3.0-1.2.3.255 and port 5 and proto 6 and proto 6 and after "
       "2019-08-09T10:54:22Z "
       "and before 2019-08-09T10:58:22Z)"},
  });
}

TEST(ParseFilter, AndAndOrHaveEqualPrecedence) {
  ExpectAll({
      {"port 1 or port 2 and port 3", "((port 1 or port 2) and port 3)"},
      {"port 1 and port 2 or port 3 and port 4", "(((port 1 and port 2) or port 3) and port 4)"},
      {"port 1 or (port 2 and port 3)", "(port 1 or (port 2 and port 3))"},
      {"port 1 or (port 2 or port 3)", "(port 1 or port 2 or port 3)"},
      {"not port 1 and port 2", "(not port 1 and port 2)"},
      {"not (port 1 and port 2)", "not (port 1 and port 2)"},
      {"!port 1||!!port 2", "(not port 1 or port 2)"},
      {"not not not (not tcp)", "proto 6"},
      {"(((tcp)))", "proto 6"},
      {"PORT 1 AND NOT TCP", "(port 1 and not proto 6)"},
  });
}

TEST(ParseFilter, Qualifiers) {
  ExpectAll({
      {"src host 1.2.3.4", "src host 1.2.3.4"},
      {"src 1.2.3.4", "src host 1.2.3.4"},
      {"dst net 10.0.0.0/8", "dst net 10.0.0.0-10.255.255.255"},
      {"src or dst net 10.0.0.0/31", "net 10.0.0.0-10.0.0.1"},
      {"dst and src net 10.0.0.0/31", "src and dst net 10.0.0.0-10.0.0.1"},
      {"src port 80", "src port 80"},
      {"src and dst portrange 1-9", "src and dst portrange 1-9"},
      {"portrange 80", "port 80"},
      {"port 0x50", "port 80"},
      {"tcp port 80", "tcp port 80"},
      {"udp dst portrange 1-9", "udp dst portrange 1-9"},
      {"sctp port 80", "sctp port 80"},
      {"ip host 1.2.3.4", "ip host 1.2.3.4"},
      {"ip src 1.2.3.4", "ip src host 1.2.3.4"},
      {"ip6 host ::1", "host ::1"},
      {"arp host 1.2.3.4", "arp host 1.2.3.4"},
      {"rarp host 1.2.3.4", "(ether proto 0x8035 and arp host 1.2.3.4)"},
      {"ip6 proto 17", "ip6 proto 17"},
      {"proto 17", "proto 17"},
      {"ip proto \\tcp", "proto 6"},
      {"proto 5-9", "proto 5-9"},
      {"net 10", "net 10.0.0.0-10.255.255.255"},
      {"net 172.16/12", "net 172.16.0.0-172.31.255.255"},
      {"net 192.168.1", "net 192.168.1.0-192.168.1.255"},
      {"net 192.168.1.7", "host 192.168.1.7"},
      {"net 0.0.0.0/0", "net 0.0.0.0-255.255.255.255"},
      {"net 1.1.1.1 mask 255.255.255.255", "host 1.1.1.1"},
      {"net 2001:db8:: mask ffff:ffff::", "net 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"net 1.1.1.5-1.1.1.7", "net 1.1.1.5-1.1.1.7"},
  });
  EXPECT_EQ(TermOf("host 1.2.3.4").layer_kinds, kLayerBitsIp | kLayerBitArp);
  EXPECT_EQ(TermOf("host ::1").layer_kinds, kLayerBitsIp);
  EXPECT_EQ(TermOf("ip proto 6").layer_kinds, kLayerBitsIp);
  EXPECT_EQ(TermOf("tcp port 80").protocol, 6);
  EXPECT_EQ(TermOf("port 80").protocol, -1);
}

TEST(ParseFilter, LayersAndLinks) {
  ExpectAll({
      {"ip", "ip"},
      {"ip6", "ip6"},
      {"arp", "ether proto 0x0806"},
      {"rarp", "ether proto 0x8035"},
      {"icmp6", "proto 58"},
      {"sctp", "proto 132"},
      {"gre", "proto 47"},
      {"vlan", "vlan"},
      {"vlan and mpls", "(vlan and mpls)"},
      {"vlan 5-9", "vlan 5-9"},
      {"ether host 0:1:2:a:B:cc", "ether host 00:01:02:0a:0b:cc"},
      {"ether src 00-01-02-0a-0b-cc", "ether src 00:01:02:0a:0b:cc"},
      {"ether dst host 00:01:02:0a:0b:cc", "ether dst 00:01:02:0a:0b:cc"},
      {"ether proto 0x88cc", "ether proto 0x88cc"},
      {"ether proto \\ip6", "ether proto 0x86dd"},
  });
}

TEST(ParseFilter, BareValuesRepeatTheQualifiersBefore) {
  ExpectAll({
      {"port 80 or 443", "(port 80 or port 443)"},
      {"host 1.1.1.1 and not 2.2.2.2 or ::1", "((host 1.1.1.1 and not host 2.2.2.2) or host ::1)"},
      {"tcp src port 80 or 90 and dst port 5 or 6",
       "(((tcp src port 80 or tcp src port 90) and dst port 5) or dst port 6)"},
      {"net 10.0.0.0/8 or 11 or 1.1.1.1",
       "(net 10.0.0.0-10.255.255.255 or net 11.0.0.0-11.255.255.255 or host 1.1.1.1)"},
      {"port (80 or 443)", "(port 80 or port 443)"},
      {"src host (1.1.1.1 or (2.2.2.2 or not 3.3.3.3)) and port 5",
       "((src host 1.1.1.1 or src host 2.2.2.2 or not src host 3.3.3.3) and port 5)"},
      {"port 80 and (443 or 8080)", "(port 80 and (port 443 or port 8080))"},
      {"ether host 0:0:0:0:0:1 or 0:0:0:0:0:2",
       "(ether host 00:00:00:00:00:01 or ether host 00:00:00:00:00:02)"},
      {"ip proto 6 or 17", "(proto 6 or proto 17)"},
  });
}

// Names are those of the system; where it has none, they are refused.
TEST(ParseFilter, NamesOfServices) {
  if (::getservbyname("domain", "udp") == nullptr || ::getservbyname("ssh", "tcp") == nullptr) {
    GTEST_SKIP() << "this system knows no services";
  }
  EXPECT_EQ(Parsed("port domain"), Parsed("port 53"));
  EXPECT_EQ(Parsed("udp src port DOMAIN or 80"), Parsed("udp src port 53 or 80"));
  EXPECT_EQ(Parsed("port ssh"), Parsed("tcp port 22"));  // UDP has none
  EXPECT_EQ(Parsed("portrange ssh-domain"), Parsed("portrange 22-53"));
  EXPECT_EQ(Parsed("portrange 22-domain"), Parsed("portrange 22-53"));
  EXPECT_EQ(Parsed("tcp portrange ssh-80"), Parsed("tcp portrange 22-80"));
}

TEST(ParseFilter, Times) {
  ExpectAll({
      {"after 1700000000.123456789", "after 2023-11-14T22:13:20.123456789Z"},
      {"after 2023-11-14T22:13:20.5+01:00 and before 30s ago",
       "(after 2023-11-14T21:13:20.5Z and before 2023-11-14T22:12:50Z)"},
      {"after 1d12h ago", "after 2023-11-13T10:13:20Z"},
      {"before 5M AGO", "before 2023-11-14T22:08:20Z"},
  });
  const auto after = ParseQuery("after 10s ago", kNow).value();
  EXPECT_EQ(after->time, (TimeRange{kNow - 10 * kSecond, INT64_MAX}));
  const auto before = ParseQuery("before 10s ago", kNow).value();
  EXPECT_EQ(before->time, (TimeRange{INT64_MIN, kNow - 10 * kSecond}));
}

TEST(ParseLimits, AreReachedAndHeld) {
  std::string terms = "port 1";
  for (unsigned i = 1; i < kMaxQueryTerms; ++i) terms += " or 1";
  EXPECT_TRUE(ParseQuery(terms, kNow).has_value());
  EXPECT_EQ(Parsed(terms + " or 1"),
            fmt::format("column {}: too many terms: a query has at most 4096", terms.size() + 5));

  const auto nested = [](unsigned depth) {
    return std::string(depth, '(') + "tcp" + std::string(depth, ')');
  };
  EXPECT_EQ(Parsed(nested(kMaxQueryDepth)), "proto 6");
  EXPECT_EQ(Parsed(nested(kMaxQueryDepth + 1)),
            "column 201: nested too deep: a query has at most 200 levels");

  std::string zigzag = "tcp";  // every change between and and or is one more level of the tree
  for (unsigned i = 1; i < kMaxQueryDepth; ++i) zigzag += i % 2 == 0 ? " or udp" : " and udp";
  const auto deep = ParseQuery(zigzag, kNow);
  ASSERT_TRUE(deep.has_value());
  EXPECT_EQ(ToString(**ParseQuery(ToString(**deep), kNow)), ToString(**deep));
  EXPECT_THAT(Parsed(zigzag + " or udp"), testing::HasSubstr("nested too deep"));

  std::string nots;
  for (unsigned i = 0; i < 10001; ++i) nots += '!';
  EXPECT_EQ(Parsed(nots + "tcp"), "not proto 6");

  std::string padded = "tcp" + std::string(kMaxQueryBytes - 3, ' ');
  EXPECT_EQ(Parsed(padded), "proto 6");
  EXPECT_EQ(Parsed(padded + " "), "column 65537: the query has 65537 bytes: a query has at most 65536");
}

}  // namespace
}  // namespace steno
