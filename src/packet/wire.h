// Numbers of the protocols that this module reads. Sources: IANA registries "IEEE 802 Numbers", "Protocol
// Numbers", "Service Name and Transport Protocol Port Numbers", "Point-to-Point Protocol Field Assignments".
#pragma once

#include <cstddef>
#include <cstdint>

namespace steno::wire {

inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherArp = 0x0806;
inline constexpr uint16_t kEtherTransparent = 0x6558;  // Ethernet inside GRE or Geneve
inline constexpr uint16_t kEtherRarp = 0x8035;
inline constexpr uint16_t kEtherVlan = 0x8100;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;
inline constexpr uint16_t kEtherMpls = 0x8847;
inline constexpr uint16_t kEtherMplsUpstream = 0x8848;
inline constexpr uint16_t kEtherPppoeSession = 0x8864;
inline constexpr uint16_t kEtherServiceVlan = 0x88a8;
inline constexpr uint16_t kEtherOldVlan1 = 0x9100;  // used for outer tags before 802.1ad
inline constexpr uint16_t kEtherOldVlan2 = 0x9200;
inline constexpr uint16_t kMaxLength8023 = 1500;  // up to here the type field is a length

inline constexpr uint16_t kPppIpv4 = 0x0021;
inline constexpr uint16_t kPppIpv6 = 0x0057;

inline constexpr uint8_t kIpHopByHop = 0;
inline constexpr uint8_t kIpIpv4 = 4;
inline constexpr uint8_t kIpTcp = 6;
inline constexpr uint8_t kIpUdp = 17;
inline constexpr uint8_t kIpIpv6 = 41;
inline constexpr uint8_t kIpRouting = 43;
inline constexpr uint8_t kIpFragment = 44;
inline constexpr uint8_t kIpGre = 47;
inline constexpr uint8_t kIpAh = 51;
inline constexpr uint8_t kIpDestination = 60;
inline constexpr uint8_t kIpSctp = 132;
inline constexpr uint8_t kIpMobility = 135;
inline constexpr uint8_t kIpHip = 139;
inline constexpr uint8_t kIpShim6 = 140;

inline constexpr uint16_t kPortGtpU = 2152;
inline constexpr uint16_t kPortVxlan = 4789;
inline constexpr uint16_t kPortGeneve = 6081;

inline constexpr size_t kMacBytes = 6;
inline constexpr size_t kEthernetBytes = 14;
inline constexpr size_t kIpv4Bytes = 20;
inline constexpr size_t kIpv6Bytes = 40;
inline constexpr size_t kPortsBytes = 4;

inline constexpr uint16_t kVlanIdMask = 0x0fff;
inline constexpr uint16_t kFragmentOffsetMask = 0x1fff;

constexpr bool HasPorts(uint8_t protocol) {
  return protocol == kIpTcp || protocol == kIpUdp || protocol == kIpSctp;
}

// Whether an IPv6 next-header number is an extension header that leads on to another one.
constexpr bool IsIpv6Extension(uint8_t number) {
  return number == kIpHopByHop || number == kIpRouting || number == kIpFragment || number == kIpAh ||
         number == kIpDestination || number == kIpMobility || number == kIpHip || number == kIpShim6;
}

// Without branches.
constexpr bool IsUdpTunnel(uint16_t src_port, uint16_t dst_port) {
  return (dst_port == kPortVxlan) | (dst_port == kPortGeneve) | (dst_port == kPortGtpU) |
         (src_port == kPortGtpU);
}

}  // namespace steno::wire
