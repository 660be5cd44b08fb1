// FlowKey: the bytes that identify a flow in an index; PacketHeaders without direction, and back.
//
// Canonical: within each layer the lower (address, port) comes first, so both directions of a conversation
// have equal keys. Three encodings, told apart by the kind that is kept beside the key; every size is a
// multiple of 8:
//   kV4       16 bytes: address a (4) b (4), port a (2) b (2), protocol (1), flags (1), VLAN id (2)
//   kV6       40 bytes: address a (16) b (16), port a (2) b (2), protocol (1), flags (1), VLAN id (2)
//   kGeneral  variable, at most kMaxFlowKeyBytes: everything else (no IP, ARP, MPLS, several tags, several
//   layers)
// Numbers are little-endian (IPv6 addresses: low 8 bytes, then high 8 bytes); the full layout is in
// docs/FORMAT.md. Flags: bit 0 has_ports, bit 1 VLAN id present. kV4 and kV6 imply the ether type 0x0800 or
// 0x86dd.
//
// kGeneral tells its own length:
//   byte 0      bits 0-2 number of layers, bit 3 truncated_layers, bit 4 has_macs (flows without a layer
//   only) byte 1      bits 0-3 number of VLAN ids, bits 4-7 number of MPLS labels bytes 2-3   ether type then
//   MAC addresses, lower first (6 + 6, if has_macs); VLAN ids (2 each); MPLS labels (4 each); per layer kind,
//   bit 7 has_ports (1); protocol (1); port a (2) b (2), if has_ports; address a, b (4 or 16 each) zeros up
//   to a multiple of 8 bytes
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "packet/decode.h"
#include "packet/headers.h"

namespace steno {

enum class FlowKind : uint8_t { kV4 = 0, kV6 = 1, kGeneral = 2 };

inline constexpr size_t kV4FlowKeyBytes = 16;
inline constexpr size_t kV6FlowKeyBytes = 40;
inline constexpr size_t kMaxFlowKeyBytes = 232;

struct FlowKey {
  FlowKind kind = FlowKind::kV4;
  uint8_t size = 0;  // bytes in use
  alignas(4) std::array<uint8_t, kMaxFlowKeyBytes> bytes;

  [[nodiscard]] std::span<const uint8_t> view() const { return {bytes.data(), size}; }
};

// The last 8 bytes of a kV4 or kV6 key as they lie there.
struct PlainKeyTail {
  static constexpr uint8_t kPorts = 1;
  static constexpr uint8_t kVlan = 2;
  uint16_t port_a;
  uint16_t port_b;
  uint8_t protocol;
  uint8_t flags;
  uint16_t vlan;

  [[nodiscard]] bool has_ports() const { return (flags & kPorts) != 0; }
  [[nodiscard]] bool has_vlan() const { return (flags & kVlan) != 0; }
};
static_assert(sizeof(PlainKeyTail) == 8 && std::endian::native == std::endian::little);

// True if ParseFlowKey() would accept a kV4 or kV6 key. REQUIRES: `key` has kV4FlowKeyBytes or
// kV6FlowKeyBytes.
bool IsPlainKey(FlowKind kind, const uint8_t* key);

// Never fails: every packet has a key.
void MakeFlowKey(const PacketHeaders& headers, FlowKey& out);

// Decode() and MakeFlowKey() in one, with a short cut for the plain IPv4 and IPv6 packets that make up nearly
// all traffic. Same result as the two calls, always.
void FrameToFlowKey(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out);

// The length of the key at the start of `bytes`; 0 if it would not end inside `bytes` or breaks its counts.
size_t FlowKeySize(FlowKind kind, std::span<const uint8_t> bytes);

// The inverse up to direction; kCorrupt for bytes that MakeFlowKey() cannot have made. What follows the key
// inside `key` is ignored, so a key can be read where it lies among others.
Status ParseFlowKey(FlowKind kind, std::span<const uint8_t> key, PacketHeaders& out);

}  // namespace steno
