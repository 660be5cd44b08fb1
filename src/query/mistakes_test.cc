// Wrong queries as people write them, each with the line that its author sees: the place, what is wrong
// there, what was expected.
#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

#include "query/parse.h"

namespace steno {
namespace {

// Sentences that many messages have in common, under short names.
const std::vector<std::pair<std::string, std::string>> kSentences = {
    {"{primitives}",
     "expected a primitive such as host, net, port, portrange, proto, src, dst, ip, ip6, arp, tcp, udp, "
     "sctp, icmp, icmp6, ether, vlan, mpls, before, after, tcp[...], len, not or \"(\""},
    {"{operand}", "expected a number, len, a name such as tcp-syn, or bytes such as ip[0] or tcp[2:2]"},
    {"{comparison}", "expected an operator or a comparison: = != < <= > >="},
    {"{bytes}",
     "has no bytes to ask for; those with are ether, link, ip, ip6, arp, rarp, tcp, udp, sctp, icmp, igmp, "
     "igrp, pim, vrrp, carp, icmp6"},
    {"{joint}", "expected \"and\", \"or\" or the end of the query"},
    {"{time}", "expected a time like 2024-02-29T12:00:00Z, 2024-02-29T12:00:00+01:00, 1700000000 or 3h ago"},
    {"{ethernet}", "recorded are Ethernet frames"},
    {"{port}", "a port is a number 0..65535, or the name of a service known here"},
};

struct Mistake {
  std::string query;
  std::string message;
};

std::string Spelled(std::string message) {
  for (const auto& [name, sentence] : kSentences) {
    const size_t at = message.find(name);
    if (at != std::string::npos) message.replace(at, name.size(), sentence);
  }
  return message;
}

void ExpectMessages(const std::vector<Mistake>& mistakes) {
  for (const auto& [query, message] : mistakes) {
    const auto expression = ParseQuery(query, 1'700'000'000'000'000'000);
    ASSERT_FALSE(expression) << query << "\nis read as " << ToString(**expression);
    EXPECT_EQ(expression.error().code, ErrorCode::kInvalid) << query;
    EXPECT_GE(expression.error().column, 1u) << query;
    EXPECT_LE(expression.error().column, query.size() + 1) << query;
    EXPECT_EQ(QueryErrorText(expression.error()), Spelled(message)) << query;
  }
}

TEST(Mistakes, ComparisonsOfBytes) {
  ExpectMessages({
      {"tcp[13] &", "column 10: {operand}, found the end of the query"},
      {"tcp[13]", "column 8: {comparison}, found the end of the query"},
      {"tcp[13] & 2", "column 12: {comparison}, found the end of the query"},
      {"tcp[13] = ", "column 11: {operand}, found the end of the query"},
      {"tcp[13", "column 7: expected an operator, \":\" or \"]\", found the end of the query"},
      {"tcp[13 = 2", "column 8: expected an operator, \":\" or \"]\", found \"=\""},
      {"tcp[] = 1", "column 5: {operand}, found \"]\""},
      {"tcp[1:] = 1", "column 7: expected a number of bytes after \":\": 1, 2 or 4"},
      {"tcp[1:3] = 1", "column 7: expected a number of bytes after \":\": 1, 2 or 4"},
      {"tcp[1:x] = 1", "column 7: expected a number of bytes after \":\": 1, 2 or 4"},
      {"foo[1] = 1", "column 1: \"foo[...]\" {bytes}"},
      {"http[1] = 1", "column 1: \"http[...]\" {bytes}"},
      {"host[1] = 2", "column 1: \"host[...]\" {bytes}"},
      {"tcp[13] & 2 !", "column 13: {comparison}, found \"!\""},
      {"tcp[13] <> 2", "column 10: {operand}, found \">\""},
      {"tcp[13] = 2 = 3", "column 13: {joint}, found \"=\""},
      {"tcp[13] && 2 = 2", "column 9: {comparison}, found \"&&\""},
      {"tcp[13] = syn", "column 11: {operand}, found \"syn\""},
      {"tcp[tcpflag] = 2", "column 5: {operand}, found \"tcpflag\""},
      {"tcp[len-4] = 1", "column 5: {operand}, found \"len-4\""},
      {"len", "column 4: {comparison}, found the end of the query"},
      {"len > ", "column 7: {operand}, found the end of the query"},
      {"len > 4294967296", "column 7: 4294967296: a value is 0..4294967295"},
      {"len 5", "column 5: {comparison}, found \"5\""},
      {"len > 0xg", "column 7: 0xg: a value is a number 0..4294967295"},
      {"len > 5.5", "column 8: expected an operator, \"and\", \"or\" or the end of the query, found \".5\""},
      {"len > 1.2.3.4",
       "column 8: expected an operator, \"and\", \"or\" or the end of the query, found \".2.3.4\""},
      {"(len > 5", "column 1: this \"(\" is not closed"},
      {"(len) > 5)", "column 10: \")\" without a \"(\" before it"},
      {"((len) > 5", "column 1: this \"(\" is not closed"},
      {"(tcp[13] & 2 = 2", "column 1: this \"(\" is not closed"},
      {"(tcp[13] & 2)", "column 13: {comparison}, found \")\""},
      {"(tcp[13] & 2) and tcp", "column 13: {comparison}, found \")\""},
      {"5 > ", "column 5: {operand}, found the end of the query"},
      {"5 & 3", "column 6: {comparison}, found the end of the query"},
      {"-5", "column 3: {comparison}, found the end of the query"},
      {"tcp[13] / 0 = 1", "column 1: tcp[13] / 0 = 1: division by zero"},
      {"tcp[13] % 0 = 1", "column 1: tcp[13] % 0 = 1: modulus by zero"},
      {"tcp[13] << 32 = 1", "column 1: tcp[13] << 32 = 1: shift by more than 31 bits"},
      {"tcp[0] = 1 udp", "column 12: {joint}, found \"udp\""},
      {"tcp[0] = 1 2", "column 12: {joint}, found \"2\""},
      {"port (tcp[0] = 1)", "column 7: expected a value of \"port\", found \"tcp\""},
      {"wlan[0] = 1", "column 1: \"wlan[...]\" {bytes}"},
      {"esp[0] = 1", "column 1: \"esp[...]\" {bytes}"},
      {"ether[0:6] = 1", "column 9: expected a number of bytes after \":\": 1, 2 or 4"},
      {"tcp[13] & (2 = 2", "column 14: expected an operator or \")\", found \"=\""},
      {"tcp[(13] = 2", "column 8: expected an operator or \")\", found \"]\""},
      {"not tcp[13] &", "column 14: {operand}, found the end of the query"},
      {"and tcp[13] = 1", "column 1: expected a term, found \"and\""},
      {"tcp[13] =! 2", "column 10: {operand}, found \"!\""},
      {"tcp[13] === 2", "column 11: {operand}, found \"=\""},
      {"vlan[0] = 5", "column 1: \"vlan[...]\" {bytes}"},
      {"x = 5", "column 1: \"x\" is not a known primitive; {primitives}"},
      {"5 = x", "column 5: {operand}, found \"x\""},
      {"tcp[0] = -", "column 11: {operand}, found the end of the query"},
      {"ip[0", "column 5: expected an operator, \":\" or \"]\", found the end of the query"},
      {"ip[", "column 4: {operand}, found the end of the query"},
      {"tcp[1:2", "column 8: expected an operator, \":\" or \"]\", found the end of the query"},
      {"len = \"5\"", "column 7: {operand}, found \"\"\""},
      {"tcp[13] = 0b1", "column 11: 0b1: a value is a number 0..4294967295"},
  });
}

TEST(Mistakes, WordsAndWhatIsRefused) {
  ExpectMessages({
      {"greater", "column 8: expected a length after \"greater\", found the end of the query"},
      {"less", "column 5: expected a length after \"less\", found the end of the query"},
      {"greater x", "column 9: greater x: a length is a number 0..4294967295"},
      {"greater -1", "column 9: greater -1: a length is a number 0..4294967295"},
      {"less 99999999999", "column 6: less 99999999999: a length is 0..4294967295"},
      {"greater 5-6", "column 9: greater 5-6: a length is a number 0..4294967295"},
      {"ip broadcast",
       "column 1: ip broadcast needs the netmask of an interface: try dst host with the broadcast address"},
      {"ether foo", "column 7: expected host, src, dst or proto after \"ether\", found \"foo\""},
      {"ip foo", "column 4: {joint}, found \"foo\""},
      {"ip6 broadcast", "column 5: {joint}, found \"broadcast\""},
      {"tcp multicast", "column 5: {joint}, found \"multicast\""},
      {"broadcast 5", "column 11: {joint}, found \"5\""},
      {"multicast host 1.2.3.4", "column 11: {joint}, found \"host\""},
      {"gateway foo",
       "column 1: gateway needs host names, which are not looked up: try ether host MAC and not host "
       "ADDRESS"},
      {"inbound", "column 1: inbound is not possible: which way a packet went is not recorded"},
      {"outbound and tcp", "column 1: outbound is not possible: which way a packet went is not recorded"},
      {"protochain 6",
       "column 1: protochain is not possible: its programs need not end; proto looks behind IPv6 extension "
       "headers"},
      {"ip protochain 6",
       "column 1: ip protochain is not possible: its programs need not end; proto looks behind IPv6 "
       "extension headers"},
      {"ip6 protochain \\tcp",
       "column 1: ip6 protochain is not possible: its programs need not end; proto looks behind IPv6 "
       "extension headers"},
      {"type mgt", "column 1: type is about Wi-Fi frames; {ethernet}"},
      {"wlan host 1", "column 1: wlan is about Wi-Fi frames; {ethernet}"},
      {"on eth0", "column 1: on is about logs of a packet filter; {ethernet}"},
      {"ifname eth0", "column 1: ifname is about logs of a packet filter; {ethernet}"},
      {"rnr 5", "column 1: rnr is about logs of a packet filter; {ethernet}"},
      {"fddi", "column 1: fddi is about other link types; {ethernet}, see ether"},
      {"ppp", "column 1: ppp is about other link types; {ethernet}, see ether"},
      {"vpi 5", "column 1: vpi is about ATM; {ethernet}"},
      {"lane", "column 1: lane is about ATM; {ethernet}"},
      {"sio 5", "column 1: sio is about SS7; {ethernet}"},
      {"llc x",
       "column 5: llc x: a type of LLC frame is one of i s u rr rnr rej ui ua disc dm sabme test xid frmr"},
      {"llc 5",
       "column 5: llc 5: a type of LLC frame is one of i s u rr rnr rej ui ua disc dm sabme test xid frmr"},
      {"iso proto", "column 10: expected a protocol after \"iso proto\", found the end of the query"},
      {"iso proto foo", "column 11: iso proto foo: a protocol is a number 0..255"},
      {"isis proto \\isis", "column 12: isis proto \\isis: a protocol is a number 0..255"},
      {"iso host 1", "column 5: {joint}, found \"host\""},
      {"pppoes 65536", "column 8: pppoes 65536: a PPPoE session is 0..65535"},
      {"pppoes 1 2", "column 10: {joint}, found \"2\""},
      {"geneve 16777216", "column 8: geneve 16777216: a Geneve VNI is 0..16777215"},
      {"geneve x", "column 8: geneve x: a Geneve VNI is a number 0..16777215"},
      {"stp 5", "column 5: {joint}, found \"5\""},
      {"ether proto \\foo",
       "column 13: ether proto \\foo: an Ethernet type is a number 1536..65535 or a name: ip, ip6, arp, "
       "rarp, lldp"},
      {"ether proto \\clnp",
       "column 13: ether proto \\clnp: an Ethernet type is a number 1536..65535 or a name: ip, ip6, arp, "
       "rarp, lldp"},
      {"ether broadcast host", "column 17: {joint}, found \"host\""},
      {"hopcount 3", "column 1: \"hopcount\" is not a known primitive; {primitives}"},
      {"dst broadcast", "column 5: dst broadcast: expected an IPv4 or IPv6 address; names are not looked up"},
      {"src multicast", "column 5: src multicast: expected an IPv4 or IPv6 address; names are not looked up"},
      {"decnet host 1.2", "column 8: {joint}, found \"host\""},
  });
}

TEST(Mistakes, WhatPeopleTry) {
  ExpectMessages({
      {"port 80,443", "column 8: {joint}, found \",\""},
      {"host 1.2.3.4,5.6.7.8", "column 13: {joint}, found \",\""},
      {"host 1.2.3.4:80", "column 6: host 1.2.3.4:80: expected an IPv4 or IPv6 address"},
      {"host 1.2.3.4 port 80", "column 14: {joint}, found \"port\""},
      {"src 1.2.3.4 dst 5.6.7.8", "column 13: {joint}, found \"dst\""},
      {"tcp port http-foo", "column 10: tcp port http-foo: {port}"},
      {"port foo", "column 6: port foo: {port}"},
      {"portrange foo-bar", "column 11: portrange foo: {port}"},
      {"portrange 80-foo", "column 14: portrange foo: {port}"},
      {"udp port ssh", "column 10: udp port ssh: {port}"},
      {"port 80-", "column 6: port 80-: a range of ports needs \"portrange\""},
      {"tcp.port == 80", "column 1: \"tcp.port\" is not a known primitive; {primitives}"},
      {"ip.addr == 1.2.3.4", "column 1: \"ip.addr\" is not a known primitive; {primitives}"},
      {"tcp.flags.syn == 1", "column 1: \"tcp.flags.syn\" is not a known primitive; {primitives}"},
      {"http", "column 1: \"http\" is not a known primitive; {primitives}"},
      {"dns", "column 1: \"dns\" is not a known primitive; {primitives}"},
      {"frame.len > 5", "column 1: \"frame.len\" is not a known primitive; {primitives}"},
      {"SELECT *", "column 1: \"SELECT\" is not a known primitive; {primitives}"},
      {"*", "column 1: expected a term, found \"*\""},
      {"?", "column 1: expected a term, found \"?\""},
      {"host *", "column 6: expected an address after \"host\", found \"*\""},
      {"host 10.*", "column 6: host 10.: expected an IPv4 or IPv6 address"},
      {"net 10.0.0.0/8/9", "column 15: {joint}, found \"/\""},
      {"net 10.0.0.0/-1", "column 14: net 10.0.0.0/-1: a prefix length is a number 0..32"},
      {"vlan 1,2", "column 7: {joint}, found \",\""},
      {"vlan >5", "column 6: {joint}, found \">\""},
      {"mpls x", "column 6: mpls x: an MPLS label is a number 0..1048575"},
      {"ether src foo", "column 11: ether src foo: expected a MAC address like 00:11:22:aa:bb:cc"},
      {"ether host 00:11:22:33:44",
       "column 12: ether host 00:11:22:33:44: expected a MAC address like 00:11:22:aa:bb:cc"},
      {"proto 6,17", "column 8: {joint}, found \",\""},
      {"after yesterday", "column 7: yesterday: {time}"},
      {"after 2024-02-29 12:00:00",
       "column 17: 2024-02-29: a date needs a time of day and a zone after it, like T12:00:00Z"},
      {"after 2024-02-29 12:00:00Z",
       "column 17: 2024-02-29: a date needs a time of day and a zone after it, like T12:00:00Z"},
      {"before now", "column 8: now: {time}"},
      {"after 5 minutes ago", "column 9: {joint}, found \"minutes\""},
      {"after 5m", "column 9: expected \"ago\" after \"5m\", found the end of the query"},
      {"last 5m", "column 1: \"last\" is not a known primitive; {primitives}"},
      {"last=5m and tcp", "column 9: expected ip=, port=, protocol= or last=, found \"and\""},
      {"ip=1.2.3.4 and port=80", "column 12: expected ip=, port=, protocol= or last=, found \"and\""},
      {"ip = ", "column 6: expected an address after \"ip=\", found the end of the query"},
      {"port=80,443", "column 8: expected ip=, port=, protocol= or last=, found \",\""},
      {"port=http", "column 6: port=http: a port is a number 0..65535"},
      {"protocol=foo",
       "column 10: protocol=foo: a protocol is a number 0..255 or a name like tcp, udp, icmp, icmp6, sctp"},
      {"ip=1.2.3.4/24", "column 11: expected ip=, port=, protocol= or last=, found \"/\""},
      {"ip=10.0.0.0-10.0.0", "column 13: ip=10.0.0: expected an IPv4 or IPv6 address"},
      {"host=1.2.3.4 port=80", "column 5: expected an address after \"host\", found \"=\""},
      {"{tcp}", "column 1: expected a term, found \"{\""},
      {"[tcp]", "column 1: expected a term, found \"[\""},
      {"tcp;udp", "column 4: {joint}, found \";\""},
      {"tcp \"udp\"", "column 5: {joint}, found \"\"\""},
      {"tcp and (udp or)", "column 16: expected a term after \"or\", found \")\""},
      {"tcp and ()", "column 10: expected a term after \"(\", found \")\""},
      {"((tcp) and udp", "column 1: this \"(\" is not closed"},
      {"!", "column 2: expected a term after \"!\", found the end of the query"},
      {"not not", "column 8: expected a term after \"not\", found the end of the query"},
      {"tcp!udp", "column 4: {joint}, found \"!\""},
      {"tcp & udp", "column 5: {joint}, found \"&\""},
      {"tcp || | udp", "column 8: expected a term after \"||\", found \"|\""},
      {"host ::1%eth0", "column 9: {joint}, found \"%\""},
      {"host fe80::1/64", "column 13: host fe80::1/: a prefix needs \"net\", as in net 10.0.0.0/8"},
      {"before 1e9", "column 9: 1e9: a duration is whole numbers, each with its unit: s, m, h or d"},
      {"after 2024-02-29T12:00:00.0000000001Z",
       "column 36: 2024-02-29T12:00:00.0000000001Z: a second has at most 9 decimal places"},
      {"after -5", "column 7: -5: {time}"},
      {"src or 1.2.3.4",
       "column 5: expected an address, a type of value or \"or dst\" after \"src\", found \"or\""},
      {"src and src 1.2.3.4",
       "column 5: expected an address, a type of value or \"or dst\" after \"src\", found \"and\""},
      {"dst or dst",
       "column 5: expected an address, a type of value or \"or src\" after \"dst\", found \"or\""},
      {"tcp src", "column 8: tcp src: \"tcp\" goes with these only: port portrange"},
      {"ip and", "column 7: expected a term after \"and\", found the end of the query"},
      {"rarp port 5", "column 6: rarp port: \"rarp\" goes with these only: host net"},
      {"sctp host 1.2.3.4", "column 6: sctp host: \"sctp\" goes with these only: port portrange"},
      {"portrange 1-2-3", "column 13: portrange 2-3: a port is a number 0..65535"},
      {"net 1.2.3.4-5", "column 13: net 5: expected an IPv4 or IPv6 address"},
      {"1.2.3.4", "column 1: 1.2.3.4: a value needs a word before it, such as host or port"},
      {"foo.example.com", "column 1: \"foo.example.com\" is not a known primitive; {primitives}"},
      {"\\tcp", "column 1: \\tcp: a value needs a word before it, such as host or port"},
      {"proto \\",
       "column 7: proto \\: a protocol is a number 0..255 or a name like tcp, udp, icmp, icmp6, sctp"},
  });
}

// Nesting, length and numbers of things have an end.
TEST(Mistakes, TooMuch) {
  const auto repeat = [](const std::string& text, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) all += text;
    return all;
  };
  ExpectMessages({
      {"tcp[" + repeat("(", 17) + "1", "column 21: a comparison has at most 16 levels"},
      {repeat("tcp[", 17) + "1", "column 69: a comparison has at most 16 levels"},
      {"len > 1" + repeat("+1", 300), "column 608: a comparison has at most 1024 bytes"},
      {repeat("len > 1 or ", 256) + "len > 1",
       "column 2817: too many comparisons of bytes: a query has at most 256"},
      {repeat("(", 300) + "tcp[0] = 1", "column 201: nested too deep: a query has at most 200 levels"},
      {repeat("(", 300) + "tcp[0]" + repeat(")", 300) + " = 1",
       "column 18: a comparison has at most 16 levels"},
      {repeat("(", 65537), "column 65537: the query has 65537 bytes: a query has at most 65536"},
  });
  EXPECT_TRUE(ParseQuery(repeat("len > 1 or ", 255) + "len > 1", 0));
  EXPECT_TRUE(ParseQuery("tcp[" + repeat("(", 15) + "1" + repeat(")", 15) + "] = 1", 0));
}

}  // namespace
}  // namespace steno
