#include "query/byte_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "packet/wire.h"
#include "query/lexer.h"
#include "query/values.h"

namespace steno::internal {

namespace {

ExpressionPtr HasLayer(uint8_t layer_bit) {
  Term term;
  term.kind = TermKind::kLayer;
  term.layer_kinds = layer_bit;
  return MakeTerm(term);
}

// Not seen here: later fragments, which libpcap refuses, have the protocol, too.
ExpressionPtr HasProtocol(uint8_t layer_bit, uint32_t number) {
  Term term = NumberTerm(TermKind::kProtocol, {number, number});
  term.layer_kinds = layer_bit;
  return MakeTerm(term);
}

// An ARP packet that was cut off is no layer, but has its ether type.
ExpressionPtr MayHaveArp(uint32_t ether_type) {
  return MakeOr({HasLayer(kLayerBitArp), HasEtherType(ether_type)});
}

// The protocols that libpcap can index (gencode.c of version 1.10); protocol numbers: IANA.
std::vector<ByteSource> MakeSources() {
  constexpr auto kFrame = PacketFilter::Reach::kFrame;
  constexpr auto kLayers = PacketFilter::Reach::kLayers;
  const auto over_ip = [](uint32_t number) { return HasProtocol(kLayerBitIpv4, number); };
  return {
      {"ether", kFrame, nullptr},
      {"link", kFrame, nullptr},
      {"ip", kLayers, MayHaveIp(kLayerBitIpv4)},
      {"ip6", kLayers, MayHaveIp(kLayerBitIpv6)},
      {"arp", kLayers, MayHaveArp(wire::kEtherArp)},
      {"rarp", kLayers, MayHaveArp(wire::kEtherRarp)},
      {"tcp", kLayers, over_ip(wire::kIpTcp)},
      {"udp", kLayers, over_ip(wire::kIpUdp)},
      {"sctp", kLayers, over_ip(wire::kIpSctp)},
      {"icmp", kLayers, over_ip(1)},
      {"igmp", kLayers, over_ip(2)},
      {"igrp", kLayers, over_ip(9)},
      {"pim", kLayers, over_ip(103)},
      {"vrrp", kLayers, over_ip(112)},
      {"carp", kLayers, over_ip(112)},
      {"icmp6", kLayers, HasProtocol(kLayerBitIpv6, 58)},
  };
}

const std::vector<ByteSource>& Sources() {
  static const std::vector<ByteSource> kSources = MakeSources();
  return kSources;
}

}  // namespace

const ByteSource* FindByteSource(std::string_view name) {
  for (const ByteSource& source : Sources()) {
    if (EqualsIgnoringCase(source.name, name)) return &source;
  }
  return nullptr;
}

std::string ByteSourceNames() {
  std::vector<std::string_view> names;
  for (const ByteSource& source : Sources()) names.push_back(source.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

ExpressionPtr HasEtherType(uint32_t number) {
  return MakeTerm(NumberTerm(TermKind::kEtherType, {number, number}));
}

ExpressionPtr HasEtherType(uint32_t number, uint32_t other) {
  return MakeOr({HasEtherType(number), HasEtherType(other)});
}

ExpressionPtr MayHaveIp(uint8_t layer_bit) {
  return MakeOr(
      {HasLayer(layer_bit), HasEtherType(layer_bit == kLayerBitIpv4 ? wire::kEtherIpv4 : wire::kEtherIpv6)});
}

}  // namespace steno::internal
