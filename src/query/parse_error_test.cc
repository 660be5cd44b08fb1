// Wrong queries: each with the exact line that its author sees.
#include <gmock/gmock.h>

#include <string>

#include "query/parse.h"

namespace steno {
namespace {

constexpr int64_t kNow = 1'700'000'000'000'000'000;
constexpr const char* kPrimitives =
    "expected a primitive such as host, net, port, portrange, proto, src, dst, ip, ip6, arp, tcp, udp, sctp, "
    "icmp, icmp6, ether, vlan, mpls, before, after, tcp[...], len, not or \"(\"";

struct Case {
  std::string query;
  std::string message;
};

void ExpectErrors(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const auto expression = ParseQuery(c.query, kNow);
    ASSERT_FALSE(expression.has_value()) << c.query;
    EXPECT_EQ(expression.error().code, ErrorCode::kInvalid) << c.query;
    EXPECT_NE(expression.error().column, 0u) << c.query;
    EXPECT_EQ(QueryErrorText(expression.error()), c.message) << c.query;
  }
}

TEST(ParseErrors, Structure) {
  ExpectErrors({
      {"", "column 1: the query is empty: expected a term like \"host 192.0.2.1\""},
      {" \t\n", "column 1: the query is empty: expected a term like \"host 192.0.2.1\""},
      {"port 80 and", "column 12: expected a term after \"and\", found the end of the query"},
      {"port 80 ||", "column 11: expected a term after \"||\", found the end of the query"},
      {"port 80 and and tcp", "column 13: expected a term after \"and\", found \"and\""},
      {"and tcp", "column 1: expected a term, found \"and\""},
      {"not", "column 4: expected a term after \"not\", found the end of the query"},
      {"()", "column 2: expected a term after \"(\", found \")\""},
      {"(tcp", "column 1: this \"(\" is not closed"},
      {"tcp or ((udp) and port 5", "column 8: this \"(\" is not closed"},
      {"tcp)", "column 4: \")\" without a \"(\" before it"},
      {"(tcp udp)", "column 6: expected \"and\", \"or\" or \")\", found \"udp\""},
      {"tcp udp", "column 5: expected \"and\", \"or\" or the end of the query, found \"udp\""},
      {"port 80 port 90", "column 9: expected \"and\", \"or\" or the end of the query, found \"port\""},
      {"tcp | udp", "column 5: expected \"and\", \"or\" or the end of the query, found \"|\""},
      {"tcp & udp", "column 5: expected \"and\", \"or\" or the end of the query, found \"&\""},
      {"| tcp", "column 1: expected a term, found \"|\""},
      {"tcp and \xc3\xa4", "column 9: expected a term after \"and\", found byte 0xc3"},
      {std::string("tcp\0", 4),
       "column 4: expected \"and\", \"or\" or the end of the query, found byte 0x00"},
  });
}

TEST(ParseErrors, UnknownWords) {
  ExpectErrors({
      {"tcp and frobnicate",
       std::string("column 9: \"frobnicate\" is not a known primitive; ") + kPrimitives},
      {"host=1.2.3.4", "column 5: expected an address after \"host\", found \"=\""},
      {std::string(100, 'x'),
       "column 1: \"" + std::string(64, 'x') + "...\" is not a known primitive; " + kPrimitives},
  });
}

TEST(ParseErrors, Addresses) {
  ExpectErrors({
      {"host", "column 5: expected an address after \"host\", found the end of the query"},
      {"host 1.2.3", "column 6: host 1.2.3: expected an IPv4 or IPv6 address"},
      {"host 1.2.3.256", "column 6: host 1.2.3.256: expected an IPv4 or IPv6 address"},
      {"host 1.2.3.04", "column 6: host 1.2.3.04: expected an IPv4 or IPv6 address"},
      {"host 12345::1", "column 6: host 12345::1: expected an IPv4 or IPv6 address"},
      {"host example.com",
       "column 6: host example.com: expected an IPv4 or IPv6 address; names are not looked up"},
      {"host 10.0.0.0/8", "column 14: host 10.0.0.0/: a prefix needs \"net\", as in net 10.0.0.0/8"},
      {"src and 1.2.3.4",
       "column 5: expected an address, a type of value or \"or dst\" after \"src\", found \"and\""},
      {"ip host ::1", "column 9: ip host ::1: \"ip\" goes with IPv4 addresses only"},
      {"ip6 host 1.2.3.4", "column 10: ip6 host 1.2.3.4: \"ip6\" goes with IPv6 addresses only"},
      {"arp host ::1", "column 10: arp host ::1: \"arp\" goes with IPv4 addresses only"},
      {"net", "column 4: expected a network after \"net\", found the end of the query"},
      {"net 10.0.0.0/33", "column 14: net 10.0.0.0/33: a prefix length is 0..32"},
      {"net ::/129", "column 8: net ::/129: a prefix length is 0..128"},
      {"net 10.0.0.0/x", "column 14: net 10.0.0.0/x: a prefix length is a number 0..32"},
      {"net 10.0.0.0/",
       "column 14: expected a prefix length after \"net 10.0.0.0/\", found the end of the query"},
      {"net 10.0.0.0 mask",
       "column 18: expected a mask after \"net 10.0.0.0 mask\", found the end of the query"},
      {"net 10.0.0.0 mask 255.0.255.0",
       "column 19: net 10.0.0.0 mask 255.0.255.0: a mask is ones followed by zeros"},
      {"net 10.0.0.0 mask ffff::",
       "column 19: net 10.0.0.0 mask ffff::: address and mask must be IPv4, or both IPv6"},
      {"net 10.256", "column 5: net 10.256: expected an IPv4 or IPv6 address"},
      {"net 1.1.1.9-1.1.1.1", "column 5: net 1.1.1.9-1.1.1.1: the first end of the range is above the last"},
      {"net 1.1.1.1-::1", "column 5: net 1.1.1.1-::1: both ends of a range must be IPv4, or both IPv6"},
      {"net 1.1.1.1-", "column 5: net 1.1.1.1-: a range is two addresses with \"-\" between"},
      {"ether host 1.2.3.4", "column 12: ether host 1.2.3.4: expected a MAC address like 00:11:22:aa:bb:cc"},
      {"ether src 0:1:2:3:4:5:6",
       "column 11: ether src 0:1:2:3:4:5:6: expected a MAC address like 00:11:22:aa:bb:cc"},
      {"ether", "column 6: expected host, src, dst or proto after \"ether\", found the end of the query"},
  });
}

TEST(ParseErrors, Numbers) {
  ExpectErrors({
      {"port 65555", "column 6: port 65555: a port is 0..65535"},
      {"port 99999999999", "column 6: port 99999999999: a port is 0..65535"},
      {"port", "column 5: expected a port after \"port\", found the end of the query"},
      {"port -1", "column 6: port -1: a port is a number 0..65535"},
      {"port 80-90", "column 6: port 80-90: a range of ports needs \"portrange\""},
      {"tcp src port x",
       "column 14: tcp src port x: a port is a number 0..65535, or the name of a service known here"},
      {"portrange 90-80", "column 11: portrange 90-80: the first end of the range is above the last"},
      {"portrange 1-70000", "column 13: portrange 70000: a port is 0..65535"},
      {"portrange 1-", "column 11: portrange 1-: a range is two numbers with \"-\" between"},
      {"vlan 4096", "column 6: vlan 4096: a VLAN id is 0..4095"},
      {"vlan x", "column 6: vlan x: a VLAN id is a number 0..4095"},
      {"mpls 1048576", "column 6: mpls 1048576: an MPLS label is 0..1048575"},
      {"ip proto 256", "column 10: ip proto 256: a protocol is 0..255"},
      {"proto foo",
       "column 7: proto foo: a protocol is a number 0..255 or a name like tcp, udp, icmp, icmp6, sctp"},
      {"ether proto 5", "column 13: ether proto 5: an Ethernet type is 1536..65535"},
      {"ether proto foo",
       "column 13: ether proto foo: an Ethernet type is a number 1536..65535 or a name: ip, ip6, arp, rarp, "
       "lldp"},
      {"tcp host 1.2.3.4", "column 5: tcp host: \"tcp\" goes with these only: port portrange"},
      {"tcp src 1.2.3.4", "column 9: tcp src: \"tcp\" goes with these only: port portrange"},
      {"ip port 80", "column 4: ip port: \"ip\" goes with these only: host net proto"},
      {"icmp port 5", "column 6: icmp port: \"icmp\" stands alone"},
      {"src proto 6", "column 5: src proto: src and dst do not go with proto"},
      {"80", "column 1: 80: a value needs a word before it, such as host or port"},
      {"tcp or 80", "column 8: 80: a value needs a word before it, such as host or port"},
      {"port 5 and tcp or 80", "column 19: 80: a value needs a word before it, such as host or port"},
      {"port (tcp)", "column 7: expected a value of \"port\", found \"tcp\""},
      {"port 80 or 1.2.3.4", "column 12: port 1.2.3.4: a port is a number 0..65535"},
  });
}

TEST(ParseErrors, Times) {
  const std::string forms =
      "expected a time like 2024-02-29T12:00:00Z, 2024-02-29T12:00:00+01:00, 1700000000 or 3h ago";
  const std::string units = "a duration is whole numbers, each with its unit: s, m, h or d";
  ExpectErrors({
      {"after", "column 6: expected a time after \"after\", found the end of the query"},
      {"after noon", "column 7: noon: " + forms},
      {"after 3h", "column 9: expected \"ago\" after \"3h\", found the end of the query"},
      {"after 3h and tcp", "column 10: expected \"ago\" after \"3h\", found \"and\""},
      {"after 3 ago", "column 8: 3: " + units},
      {"after 3x ago", "column 8: 3x: " + units},
      {"after 1.5h ago", "column 8: 1.5h: " + units},
      {"after 400000d ago", "column 7: 400000d: a duration is at most 292 years"},
      {"after 2024-02-29T12:00:00",
       "column 26: 2024-02-29T12:00:00: a time needs a zone: Z for UTC, or an offset like +01:00"},
      {"after 2024-02-29",
       "column 17: 2024-02-29: a date needs a time of day and a zone after it, like T12:00:00Z"},
      {"after 2024-02-29T12:00Z", "column 23: 2024-02-29T12:00Z: " + forms},
      {"after 2024-02-29T12:00:00-0700",
       "column 26: 2024-02-29T12:00:00-0700: a zone is Z or an offset like +01:00"},
      {"after 2024-02-29T12:00:00+24:00",
       "column 26: 2024-02-29T12:00:00+24:00: a zone is Z or an offset like +01:00"},
      {"after 2024-02-29T12:00:00ZZ", "column 27: 2024-02-29T12:00:00ZZ: nothing may follow the zone"},
      {"after 2023-02-29T12:00:00Z", "column 15: 2023-02-29T12:00:00Z: this month has no such day"},
      {"after 2023-13-01T12:00:00Z", "column 12: 2023-13-01T12:00:00Z: a month is 01..12"},
      {"after 2023-12-01T24:00:00Z", "column 18: 2023-12-01T24:00:00Z: an hour is 00..23"},
      {"after 2023-12-01T23:60:00Z", "column 21: 2023-12-01T23:60:00Z: a minute is 00..59"},
      {"after 2023-12-01T23:59:61Z",
       "column 24: 2023-12-01T23:59:61Z: a second is 00..59, or 60 for a leap second"},
      {"after 2023-12-01T22:59:60Z",
       "column 24: 2023-12-01T22:59:60Z: a leap second is at 23:59:60 UTC only"},
      {"after 2023-12-01T22:59:00.Z",
       "column 27: 2023-12-01T22:59:00.Z: expected digits after the decimal point"},
      {"after 2023-12-01T22:59:00.1234567890Z",
       "column 36: 2023-12-01T22:59:00.1234567890Z: a second has at most 9 decimal places"},
      {"before 2262-04-12T00:00:00Z",
       "column 8: 2262-04-12T00:00:00Z: a time is between 1677-09-21 and 2262-04-11"},
      {"before 99999999999", "column 8: 99999999999: a time is between 1677-09-21 and 2262-04-11"},
  });
}

TEST(ParseErrors, OriginalSyntax) {
  ExpectErrors({
      {"ip=", "column 4: expected an address after \"ip=\", found the end of the query"},
      {"ip=1.2.3", "column 4: ip=1.2.3: expected an IPv4 or IPv6 address"},
      {"ip=2.2.2.2-1.1.1.1", "column 4: ip=2.2.2.2-1.1.1.1: the first end of the range is above the last"},
      {"ip=1.1.1.1-::1", "column 4: ip=1.1.1.1-::1: both ends of a range must be IPv4, or both IPv6"},
      {"ip=1.1.1.1-1.1.1", "column 12: ip=1.1.1: expected an IPv4 or IPv6 address"},
      {"port=65536", "column 6: port=65536: a port is 0..65535"},
      {"port=9-8", "column 6: port=9-8: the first end of the range is above the last"},
      {"protocol=256", "column 10: protocol=256: a protocol is 0..255"},
      {"proto=foo",
       "column 7: proto=foo: a protocol is a number 0..255 or a name like tcp, udp, icmp, icmp6, sctp"},
      {"last=4", "column 7: 4: a duration is whole numbers, each with its unit: s, m, h or d"},
      {"last=h", "column 6: h: expected a duration like 45m, 3h, 30s, 2d or 1h30m"},
      {"port=80 |",
       "column 10: expected ip=, port=, protocol= or last= after \"|\", found the end of the query"},
      {"port=80 || port=90", "column 9: expected ip=, port=, protocol= or last=, found \"||\""},
      {"port=80 and tcp", "column 9: expected ip=, port=, protocol= or last=, found \"and\""},
      {"port=80 host=1.1.1.1", "column 9: expected ip=, port=, protocol= or last=, found \"host\""},
      {"port=80 ip 1.1.1.1", "column 12: expected \"=\" after \"ip\", found \"1.1.1.1\""},
  });
}

}  // namespace
}  // namespace steno
