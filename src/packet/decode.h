// Frame -> PacketHeaders. Pure, allocation-free, never reads past the captured bytes.
//
// Sees Ethernet II (and LLC/SNAP with an ether type), 802.1Q / 802.1ad tags in any number, MPLS, PPPoE
// sessions, IPv4, IPv6 with extension headers, TCP, UDP, SCTP, ICMP, ARP; through IP-in-IP (4, 41), GRE (with
// key, checksum, sequence; payload IPv4, IPv6, transparent Ethernet, MPLS), VXLAN (UDP 4789), Geneve (UDP
// 6081), GTP-U (UDP 2152). A frame that ends early or breaks a header gives what was readable up to there.
// Like libpcap's filters, the decoder trusts the captured length, not the lengths that IP headers claim.
// Sources: RFC 791, 8200, 9293, 768, 9260, 792, 826, 903, 3032, 2516, 2784, 2890, 7348, 8926, 3GPP TS 29.281;
// IEEE 802.1Q-2018; <linux/if_ether.h>.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/headers.h"

namespace steno {

// The outermost VLAN tag, which the kernel takes out of the frame and hands over beside it
// (tpacket3_hdr.hv1).
struct StrippedTag {
  bool present = false;
  uint16_t tci = 0;        // priority (3 bits), DEI (1), VLAN id (12)
  uint16_t tpid = 0x8100;  // 0x8100 or 0x88a8
};

// The offsets in the frame at which the headers of PacketHeaders::layers start.
using LayerStarts = std::array<size_t, kMaxLayers>;

// Overwrites `out`. `frame` starts at the destination MAC address. `starts`, if given, gets the places of the
// layers.
void Decode(std::span<const uint8_t> frame, const StrippedTag& tag, PacketHeaders& out,
            LayerStarts* starts = nullptr);

}  // namespace steno
