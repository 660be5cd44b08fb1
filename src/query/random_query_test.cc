#include "query/random_query_test.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace steno::testing {

namespace {

uint32_t Below(std::mt19937_64& random, uint32_t bound) { return static_cast<uint32_t>(random() % bound); }

Address RandomAddress(std::mt19937_64& random, bool v6) {
  // Few addresses, also at both ends of a family.
  static const std::vector<uint64_t> low = {0, 1, 0x0a000001, 0x0a000002, 0x0a0000ff, 0x7f000001, UINT32_MAX};
  const uint64_t number = low[Below(random, static_cast<uint32_t>(low.size()))];
  if (!v6) return Address::V4(static_cast<uint32_t>(number));
  static const std::vector<uint64_t> high = {0, 0x20010db800000000, UINT64_MAX};
  return Address::V6(high[Below(random, 3)], number == UINT32_MAX ? UINT64_MAX : number);
}

AddressRange RandomRange(std::mt19937_64& random, bool v6) {
  const Address first = RandomAddress(random, v6);
  if (Below(random, 2) == 0) return {first, first};
  if (Below(random, 2) == 0) return Prefix(first, Below(random, v6 ? 129 : 33));
  const Address last = RandomAddress(random, v6);
  return first <= last ? AddressRange{first, last} : AddressRange{last, first};
}

Side RandomSide(std::mt19937_64& random) { return static_cast<Side>(Below(random, 4)); }

void SetNumbers(std::mt19937_64& random, Term& term, uint32_t lowest, uint32_t highest) {
  term.first = Below(random, 8) == 0 ? highest : lowest + Below(random, 8);
  term.last = Below(random, 2) == 0 ? term.first : std::min(highest, term.first + Below(random, 4));
}

Term RandomTerm(std::mt19937_64& random) {
  Term term;
  term.kind = static_cast<TermKind>(Below(random, 8));
  switch (term.kind) {
    case TermKind::kAddress: {
      const bool v6 = Below(random, 3) == 0;
      static const std::vector<uint8_t> v4_kinds = {kLayerBitsIp, kLayerBitArp, kLayerBitsIp | kLayerBitArp};
      term.addresses = RandomRange(random, v6);
      term.layer_kinds = v6 ? kLayerBitsIp : v4_kinds[Below(random, 3)];
      term.side = RandomSide(random);
      break;
    }
    case TermKind::kPort: {
      static const std::vector<int16_t> protocols = {-1, -1, 6, 17, 132};
      term.protocol = protocols[Below(random, 5)];
      term.side = RandomSide(random);
      SetNumbers(random, term, 0, 65535);
      break;
    }
    case TermKind::kProtocol:
      term.layer_kinds = Below(random, 3) == 0 ? kLayerBitIpv6 : kLayerBitsIp;
      SetNumbers(random, term, Below(random, 2) == 0 ? 4 : 15, 255);
      break;
    case TermKind::kLayer:
      term.layer_kinds = Below(random, 2) == 0 ? kLayerBitIpv4 : kLayerBitIpv6;
      break;
    case TermKind::kVlan:
      SetNumbers(random, term, 0, 4095);
      if (Below(random, 4) == 0) term.first = 0, term.last = 4095;
      break;
    case TermKind::kMpls:
      SetNumbers(random, term, 0, 0xfffff);
      if (Below(random, 4) == 0) term.first = 0, term.last = 0xfffff;
      break;
    case TermKind::kEtherType:
      SetNumbers(random, term, Below(random, 2) == 0 ? 0x0800 : 0x86dd, 0xffff);
      break;
    case TermKind::kMac:
      term.side = RandomSide(random);
      term.mac = {0, 1, 2, 3, 0xfe, static_cast<uint8_t>(Below(random, 3))};
      break;
  }
  return term;
}

TimeRange RandomTime(std::mt19937_64& random) {
  const int64_t time = Below(random, static_cast<uint32_t>(kRandomTimeEnd));
  return Below(random, 2) == 0 ? TimeRange{time, INT64_MAX} : TimeRange{INT64_MIN, time};
}

}  // namespace

ExpressionPtr MakeRandomQuery(std::mt19937_64& random, unsigned depth) {
  const uint32_t choice = depth <= 1 ? 9 : Below(random, 10);
  if (choice >= 6) return Below(random, 5) == 0 ? MakeTime(RandomTime(random)) : MakeTerm(RandomTerm(random));
  if (choice == 5) return MakeNot(MakeRandomQuery(random, depth - 1));
  std::vector<ExpressionPtr> children;
  const uint32_t count = 1 + Below(random, 4);
  for (uint32_t i = 0; i < count; ++i) children.push_back(MakeRandomQuery(random, depth - 1));
  return choice < 3 ? MakeAnd(std::move(children)) : MakeOr(std::move(children));
}

PacketHeaders MakeRandomHeaders(std::mt19937_64& random) {
  PacketHeaders headers;
  headers.ether_type = static_cast<uint16_t>((Below(random, 2) == 0 ? 0x0800 : 0x86dd) + Below(random, 8));
  headers.has_macs = Below(random, 4) != 0;
  headers.src_mac = {0, 1, 2, 3, 0xfe, static_cast<uint8_t>(Below(random, 3))};
  headers.dst_mac = {0, 1, 2, 3, 0xfe, static_cast<uint8_t>(Below(random, 3))};
  headers.vlan_count = static_cast<uint8_t>(Below(random, kMaxVlans + 1));
  for (uint16_t& vlan : headers.vlans) vlan = static_cast<uint16_t>(Below(random, 8));
  headers.mpls_count = static_cast<uint8_t>(Below(random, kMaxMplsLabels + 1));
  for (uint32_t& label : headers.mpls_labels) label = Below(random, 32);
  headers.layer_count = static_cast<uint8_t>(Below(random, kMaxLayers + 1));
  for (Layer& layer : headers.layers) {
    layer.kind = static_cast<LayerKind>(1 + Below(random, 3));
    const bool v6 = layer.kind == LayerKind::kIpv6;
    layer.src = RandomAddress(random, v6);
    layer.dst = RandomAddress(random, v6);
    if (layer.kind == LayerKind::kArp) continue;
    static const std::vector<uint8_t> protocols = {1, 6, 17, 58, 132, 255};
    layer.protocol = protocols[Below(random, 6)];
    layer.has_ports =
        (layer.protocol == 6 || layer.protocol == 17 || layer.protocol == 132) && Below(random, 4) != 0;
    if (!layer.has_ports) continue;
    layer.src_port = static_cast<uint16_t>(Below(random, 10) == 0 ? 65535 : Below(random, 10));
    layer.dst_port = static_cast<uint16_t>(Below(random, 10) == 0 ? 65535 : Below(random, 10));
  }
  return headers;
}

}  // namespace steno::testing
