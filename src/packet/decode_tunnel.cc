// Tunnels over IP and UDP: GRE, VXLAN, Geneve, GTP-U.
//
// Only headers that are valid in every bit that matters are followed: a UDP port number alone does not make a
// tunnel.
#include "base/bytes.h"
#include "packet/decoder.h"
#include "packet/wire.h"

namespace steno::internal {

namespace {

constexpr size_t kUdpBytes = 8;

}  // namespace

// RFC 2784 and 2890: flags and version, ether type, then checksum, key and sequence number as the flags say.
Decoder::Step Decoder::ReadGre() {
  static constexpr uint16_t kChecksum = 0x8000;
  static constexpr uint16_t kRouting = 0x4000;
  static constexpr uint16_t kKey = 0x2000;
  static constexpr uint16_t kSequence = 0x1000;
  static constexpr uint16_t kVersion = 0x0007;
  if (!Has(4)) return End();
  const auto flags = LoadBe<uint16_t>(rest_.data());
  const auto ether_type = LoadBe<uint16_t>(rest_.data() + 2);
  // Source routes (RFC 1701) are obsolete; version 1 is PPTP, whose payload is PPP.
  if ((flags & (kRouting | kVersion)) != 0) return End();
  size_t bytes = 4;
  for (const uint16_t flag : {kChecksum, kKey, kSequence}) bytes += (flags & flag) != 0 ? 4 : 0;
  if (!Skip(bytes)) return End();
  switch (ether_type) {
    case wire::kEtherTransparent:
      return Ethernet();
    case wire::kEtherIpv4:
    case wire::kEtherIpv6:
    case wire::kEtherMpls:
    case wire::kEtherMplsUpstream:
      return Payload(ether_type);
    default:
      return End();
  }
}

// RFC 7348: flags (bit 3: the VNI is valid), 3 reserved bytes, VNI, 1 reserved byte; then Ethernet.
Decoder::Step Decoder::ReadVxlan() {
  static constexpr size_t kVxlanBytes = 8;
  static constexpr uint8_t kVniValid = 0x08;
  if (!Skip(kUdpBytes) || !Has(kVxlanBytes) || (rest_[0] & kVniValid) == 0) return End();
  Skip(kVxlanBytes);
  return Ethernet();
}

// RFC 8926: version (2 bits) and option length in 4-byte units (6 bits), flags, ether type, VNI, options.
Decoder::Step Decoder::ReadGeneve() {
  static constexpr size_t kGeneveBytes = 8;
  if (!Skip(kUdpBytes) || !Has(kGeneveBytes) || rest_[0] >> 6 != 0) return End();
  const size_t option_bytes = size_t{4} * (rest_[0] & 0x3fu);
  const auto ether_type = LoadBe<uint16_t>(rest_.data() + 2);
  if (!Skip(kGeneveBytes + option_bytes)) return End();
  switch (ether_type) {
    case wire::kEtherTransparent:
      return Ethernet();
    case wire::kEtherIpv4:
    case wire::kEtherIpv6:
    case wire::kEtherMpls:
      return Payload(ether_type);
    default:
      return End();
  }
}

// 3GPP TS 29.281 section 5: version 1 (3 bits), protocol type 1, then flags E, S, PN; message type, length,
// TEID. If a flag is set, 4 more bytes follow, whose last names the first extension header; each extension
// starts with its length in 4-byte units and ends with the type of the next.
Decoder::Step Decoder::ReadGtp() {
  static constexpr uint8_t kVersionMask = 0xf0;
  static constexpr uint8_t kVersion1 = 0x30;
  static constexpr uint8_t kOptionalMask = 0x07;
  static constexpr uint8_t kExtension = 0x04;
  static constexpr uint8_t kUserData = 0xff;
  if (!Skip(kUdpBytes) || !Has(8)) return End();
  const uint8_t flags = rest_[0];
  if ((flags & kVersionMask) != kVersion1 || rest_[1] != kUserData) return End();
  Skip(8);
  if ((flags & kOptionalMask) != 0) {
    if (!Has(4)) return End();
    uint8_t next = (flags & kExtension) != 0 ? rest_[3] : 0;
    Skip(4);
    while (next != 0) {
      if (!Has(1) || !Spend()) return End();
      const size_t bytes = size_t{4} * rest_[0];
      if (bytes == 0 || !Has(bytes)) return End();
      next = rest_[bytes - 1];
      Skip(bytes);
    }
  }
  if (!Has(1)) return End();
  if (rest_[0] >> 4 == 4) return Payload(wire::kEtherIpv4);
  if (rest_[0] >> 4 == 6) return Payload(wire::kEtherIpv6);
  return End();
}

}  // namespace steno::internal
