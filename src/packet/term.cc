#include "packet/term.h"

namespace steno {

namespace {

uint8_t KindBit(LayerKind kind) {
  switch (kind) {
    case LayerKind::kIpv4:
      return kLayerBitIpv4;
    case LayerKind::kIpv6:
      return kLayerBitIpv6;
    case LayerKind::kArp:
      return kLayerBitArp;
  }
  return 0;
}

// How the two ends of one layer fulfil a term.
struct EndMatch {
  bool src = false;
  bool dst = false;
};

bool Holds(Side side, EndMatch ends) {
  switch (side) {
    case Side::kEither:
      return ends.src || ends.dst;
    case Side::kSource:
      return ends.src;
    case Side::kDestination:
      return ends.dst;
    case Side::kBoth:
      return ends.src && ends.dst;
  }
  return false;
}

// The same where it is not known which end is the source.
Tri HoldsUndirected(Side side, EndMatch ends) {
  if (side == Side::kEither || side == Side::kBoth) return Holds(side, ends) ? Tri::kYes : Tri::kNo;
  if (ends.src && ends.dst) return Tri::kYes;
  return ends.src || ends.dst ? Tri::kMaybe : Tri::kNo;
}

bool InRange(const Term& term, uint32_t value) { return term.first <= value && value <= term.last; }

EndMatch MatchEnds(const Term& term, const Layer& layer) {
  if (term.kind == TermKind::kAddress) {
    return {term.addresses.Contains(layer.src), term.addresses.Contains(layer.dst)};
  }
  if (!layer.has_ports || (term.protocol >= 0 && layer.protocol != term.protocol)) return {};
  return {InRange(term, layer.src_port), InRange(term, layer.dst_port)};
}

EndMatch MatchMacs(const Term& term, const PacketHeaders& headers) {
  return {headers.src_mac == term.mac, headers.dst_mac == term.mac};
}

// Terms without sides: protocol, layer, tags, ether type.
bool MatchesUnsided(const Term& term, const PacketHeaders& headers) {
  switch (term.kind) {
    case TermKind::kProtocol:
    case TermKind::kLayer:
      for (unsigned i = 0; i < headers.layer_count; ++i) {
        const Layer& layer = headers.layers[i];
        if ((term.layer_kinds & KindBit(layer.kind)) == 0) continue;
        if (term.kind == TermKind::kLayer) return true;
        if (layer.kind != LayerKind::kArp && InRange(term, layer.protocol)) return true;
      }
      return false;
    case TermKind::kVlan:
      for (unsigned i = 0; i < headers.vlan_count; ++i) {
        if (InRange(term, headers.vlans[i])) return true;
      }
      return false;
    case TermKind::kMpls:
      for (unsigned i = 0; i < headers.mpls_count; ++i) {
        if (InRange(term, headers.mpls_labels[i])) return true;
      }
      return false;
    case TermKind::kEtherType:
      return InRange(term, headers.ether_type);
    case TermKind::kAddress:
    case TermKind::kPort:
    case TermKind::kMac:
      break;
  }
  return false;
}

// The term's answer on what is in `flow`, as if nothing had been cut off.
Tri MatchVisible(const Term& term, const PacketHeaders& flow) {
  if (term.kind == TermKind::kMac) {
    return flow.has_macs ? HoldsUndirected(term.side, MatchMacs(term, flow)) : Tri::kMaybe;
  }
  if (term.kind != TermKind::kAddress && term.kind != TermKind::kPort) {
    return MatchesUnsided(term, flow) ? Tri::kYes : Tri::kNo;
  }
  Tri best = Tri::kNo;
  for (unsigned i = 0; i < flow.layer_count; ++i) {
    if ((term.layer_kinds & KindBit(flow.layers[i].kind)) == 0) continue;
    const Tri here = HoldsUndirected(term.side, MatchEnds(term, flow.layers[i]));
    if (here == Tri::kYes) return here;
    if (here == Tri::kMaybe) best = here;
  }
  return best;
}

}  // namespace

bool Matches(const Term& term, const PacketHeaders& headers) {
  if (term.kind == TermKind::kMac) return headers.has_macs && Holds(term.side, MatchMacs(term, headers));
  if (term.kind != TermKind::kAddress && term.kind != TermKind::kPort) return MatchesUnsided(term, headers);
  for (unsigned i = 0; i < headers.layer_count; ++i) {
    const Layer& layer = headers.layers[i];
    if ((term.layer_kinds & KindBit(layer.kind)) != 0 && Holds(term.side, MatchEnds(term, layer)))
      return true;
  }
  return false;
}

Tri MatchesFlow(const Term& term, const PacketHeaders& flow) {
  const Tri visible = MatchVisible(term, flow);
  return visible == Tri::kNo && flow.truncated_layers ? Tri::kMaybe : visible;
}

}  // namespace steno
