// What this project knows of one packet: the addresses, ports, protocols and tags of all its layers.
//
// Filled by Decode() from a frame (with the true direction: src is the sender) and by ParseFlowKey() from a
// flow of an index (then each layer's two ends are in canonical order and direction is unknown). Plain data:
// no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "packet/address.h"

namespace steno {

using MacAddress = std::array<uint8_t, 6>;

// What a layer's addresses were found in.
enum class LayerKind : uint8_t {
  kIpv4 = 1,
  kIpv6 = 2,
  kArp = 3,  // ARP or RARP for IPv4: sender and target protocol address; no protocol, no ports
};

// One IP header (or ARP packet), outermost first.
struct Layer {
  LayerKind kind = LayerKind::kIpv4;
  bool has_ports = false;  // TCP, UDP or SCTP with both port fields captured, and not a later fragment
  uint8_t protocol = 0;    // upper-layer protocol number, after IPv6 extension headers
  uint16_t src_port = 0;
  uint16_t dst_port = 0;
  Address src;
  Address dst;

  bool operator==(const Layer&) const = default;
};

// Limits on what one packet may contribute; deeper nesting is cut off and `truncated_layers` is set.
inline constexpr unsigned kMaxLayers = 4;
inline constexpr unsigned kMaxVlans = 4;
inline constexpr unsigned kMaxMplsLabels = 8;

struct PacketHeaders {
  uint16_t ether_type = 0;  // of the outermost frame, after VLAN tags (0 if a length, 802.3)
  MacAddress src_mac{};     // of the outermost frame
  MacAddress dst_mac{};
  bool has_macs = false;          // false for flows that do not keep them (every flow with a layer)
  bool truncated_layers = false;  // more layers, tags or labels than fit: any term may match what is not here
  uint8_t vlan_count = 0;
  uint8_t mpls_count = 0;
  uint8_t layer_count = 0;
  std::array<uint16_t, kMaxVlans> vlans{};             // VLAN ids (12 bits), outermost first, of all frames
  std::array<uint32_t, kMaxMplsLabels> mpls_labels{};  // labels (20 bits), outermost first
  std::array<Layer, kMaxLayers> layers{};

  bool operator==(const PacketHeaders&) const = default;
};

}  // namespace steno
