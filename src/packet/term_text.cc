// ToString(Term).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "packet/term.h"
#include "packet/wire.h"

namespace steno {

namespace {

const char* SideText(Side side) {
  switch (side) {
    case Side::kEither:
      return "";
    case Side::kSource:
      return "src ";
    case Side::kDestination:
      return "dst ";
    case Side::kBoth:
      return "src and dst ";
  }
  return "";
}

// "ip", "ip6", "arp", or several with "or" between.
std::string LayersText(uint8_t kinds) {
  std::vector<const char*> names;
  if ((kinds & kLayerBitIpv4) != 0) names.push_back("ip");
  if ((kinds & kLayerBitIpv6) != 0) names.push_back("ip6");
  if ((kinds & kLayerBitArp) != 0) names.push_back("arp");
  return fmt::format("{}", fmt::join(names, " or "));
}

// The layers in front of a term that looks into layers; nothing for the usual ones.
std::string LayersPrefix(uint8_t kinds) { return kinds == kLayerBitsIp ? "" : LayersText(kinds) + " "; }

std::string RangeText(const Term& term) {
  if (term.first == term.last) return fmt::format("{}", term.first);
  return fmt::format("{}-{}", term.first, term.last);
}

// "vlan" alone asks for any tag.
std::string TagText(const char* name, const Term& term, uint32_t highest) {
  if (term.first == 0 && term.last >= highest) return name;
  return fmt::format("{} {}", name, RangeText(term));
}

std::string AddressText(const AddressRange& range) {
  if (range.first == range.last) return "host " + ToString(range.first);
  return fmt::format("net {}-{}", ToString(range.first), ToString(range.last));
}

std::string ProtocolPrefix(int16_t protocol) {
  switch (protocol) {
    case -1:
      return "";
    case wire::kIpTcp:
      return "tcp ";
    case wire::kIpUdp:
      return "udp ";
    case wire::kIpSctp:
      return "sctp ";
    default:
      return fmt::format("proto {} ", protocol);
  }
}

std::string EtherTypeText(const Term& term) {
  if (term.first == term.last) return fmt::format("ether proto {:#06x}", term.first);
  return fmt::format("ether proto {:#06x}-{:#06x}", term.first, term.last);
}

}  // namespace

std::string ToString(const Term& term) {
  const char* side = SideText(term.side);
  switch (term.kind) {
    case TermKind::kAddress:
      return LayersPrefix(term.layer_kinds) + side + AddressText(term.addresses);
    case TermKind::kPort:
      return fmt::format("{}{}{}{} {}", LayersPrefix(term.layer_kinds), ProtocolPrefix(term.protocol), side,
                         term.first == term.last ? "port" : "portrange", RangeText(term));
    case TermKind::kProtocol:
      return fmt::format("{}proto {}", LayersPrefix(term.layer_kinds), RangeText(term));
    case TermKind::kLayer:
      return LayersText(term.layer_kinds);
    case TermKind::kVlan:
      return TagText("vlan", term, wire::kVlanIdMask);
    case TermKind::kMpls:
      return TagText("mpls", term, 0xfffff);
    case TermKind::kEtherType:
      return EtherTypeText(term);
    case TermKind::kMac:
      return fmt::format("ether {}{}", term.side == Side::kEither ? "host " : side,
                         fmt::format("{:02x}", fmt::join(term.mac, ":")));
  }
  return "";
}

}  // namespace steno
