// Term: one indivisible question about a packet ("is 10.0.0.1 one of its addresses?"), and its two
// evaluations: exact on a packet, three-valued on a flow (where direction and MAC addresses may be unknown).
//
// A term means "in some layer of the packet". Plain values, pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "packet/headers.h"

namespace steno {

enum class TermKind : uint8_t {
  kAddress,    // a layer with an address inside `addresses`
  kPort,       // a layer with has_ports and a port in [first, last], and `protocol` if that is set
  kProtocol,   // a layer (not ARP) whose protocol is in [first, last]
  kLayer,      // a layer of one of the kinds in `layer_kinds`
  kVlan,       // a VLAN id in [first, last]
  kMpls,       // an MPLS label in [first, last]
  kEtherType,  // the ether type (after VLAN tags) is in [first, last]
  kMac,        // the outermost frame's MAC addresses
};

enum class Side : uint8_t { kEither, kSource, kDestination, kBoth };  // kBoth: source and destination

inline constexpr uint8_t kLayerBitIpv4 = 1;
inline constexpr uint8_t kLayerBitIpv6 = 2;
inline constexpr uint8_t kLayerBitArp = 4;
inline constexpr uint8_t kLayerBitsIp = kLayerBitIpv4 | kLayerBitIpv6;

struct Term {
  TermKind kind = TermKind::kAddress;
  Side side = Side::kEither;
  uint8_t layer_kinds = kLayerBitsIp;  // which layers count (kAddress, kPort, kProtocol, kLayer)
  int16_t protocol = -1;               // kPort only: the layer's protocol must be this (-1: any)
  AddressRange addresses;              // kAddress only
  uint32_t first = 0;
  uint32_t last = 0;
  MacAddress mac{};  // kMac only

  bool operator==(const Term&) const = default;
};

enum class Tri : uint8_t { kNo, kMaybe, kYes };

// REQUIRES: headers from Decode().
bool Matches(const Term& term, const PacketHeaders& headers);

// For headers from ParseFlowKey(): kYes if every packet of the flow matches, kNo if none can, else kMaybe.
Tri MatchesFlow(const Term& term, const PacketHeaders& flow);

// Query syntax of the term, for messages and plans: "port 80", "src net 10.0.0.0-10.0.0.255".
std::string ToString(const Term& term);

}  // namespace steno
