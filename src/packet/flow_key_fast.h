// The short cut from the bytes of a plain IPv4 frame to its flow key, inlined where it runs for every
// captured packet: it works on whole words, decides by one table look-up on the protocol, and orders the two
// ends without branches (directions alternate at random: a branch would be mispredicted half of the time).
// Internal to FrameToFlowKey() and the index; pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "packet/decode.h"
#include "packet/flow_key.h"
#include "packet/flow_key_layout.h"
#include "packet/wire.h"

namespace steno::flow_key {

// What a protocol number asks of the short cut.
enum class Shape : uint8_t { kNoPorts, kPorts, kUdp, kSlow };

constexpr std::array<Shape, 256> MakeShapes(bool ipv6) {
  std::array<Shape, 256> shapes{};
  for (unsigned number = 0; number < shapes.size(); ++number) {
    const auto protocol = static_cast<uint8_t>(number);
    if (wire::HasPorts(protocol)) shapes[number] = Shape::kPorts;
    if (ipv6 && wire::IsIpv6Extension(protocol)) shapes[number] = Shape::kSlow;
  }
  shapes[wire::kIpUdp] = Shape::kUdp;
  for (const uint8_t tunnel : {wire::kIpIpv4, wire::kIpIpv6, wire::kIpGre}) shapes[tunnel] = Shape::kSlow;
  return shapes;
}

inline constexpr std::array<Shape, 256> kShapesV4 = MakeShapes(false);

struct Ports {
  uint16_t src = 0;
  uint16_t dst = 0;
  bool present = false;
};

// The ports at `at`, if `shape` has them and they are captured. False if the packet may be a tunnel.
inline bool TakePorts(std::span<const uint8_t> frame, size_t at, Shape shape, Ports& ports) {
  if (shape == Shape::kNoPorts || frame.size() < at + wire::kPortsBytes) return true;
  ports.src = LoadBe<uint16_t>(frame.data() + at);
  ports.dst = LoadBe<uint16_t>(frame.data() + at + 2);
  ports.present = true;
  return (shape != Shape::kUdp) | !wire::IsUdpTunnel(ports.src, ports.dst);
}

inline uint64_t Tail(uint16_t port_a, uint16_t port_b, uint8_t protocol, bool has_ports,
                     const StrippedTag& tag) {
  const uint8_t flags =
      static_cast<uint8_t>((has_ports ? PlainKeyTail::kPorts : 0) | (tag.present ? PlainKeyTail::kVlan : 0));
  const uint16_t vlan = tag.present ? tag.tci & wire::kVlanIdMask : uint16_t{0};
  return PackTail(port_a, port_b, protocol, flags, vlan);
}

// False, and `out` is not touched, if the frame needs more than this.
[[gnu::always_inline]] inline bool FromPlainV4(std::span<const uint8_t> frame, const StrippedTag& tag,
                                               FlowKey& out) {
  if (frame.size() < wire::kEthernetBytes + wire::kIpv4Bytes) return false;
  if (LoadBe<uint16_t>(frame.data() + 2 * wire::kMacBytes) != wire::kEtherIpv4) return false;
  const uint8_t* ip = frame.data() + wire::kEthernetBytes;
  const uint8_t protocol = ip[9];
  const Shape shape = kShapesV4[protocol];
  if (shape == Shape::kSlow) return false;
  Ports ports;
  if ((LoadBe<uint16_t>(ip + 6) & wire::kFragmentOffsetMask) == 0) {
    const size_t at = wire::kEthernetBytes + size_t{4} * (ip[0] & 0xfu);
    if (!TakePorts(frame, at, shape, ports)) return false;
  }
  // One number per end: (address, port) in the upper and lower part.
  const uint64_t src = uint64_t{LoadBe<uint32_t>(ip + 12)} << 16 | ports.src;
  const uint64_t dst = uint64_t{LoadBe<uint32_t>(ip + 16)} << 16 | ports.dst;
  // Not std::min() and std::max(), of which a compiler made a branch.
  const uint64_t flip = (src ^ dst) & (uint64_t{0} - uint64_t{dst < src});
  const uint64_t a = src ^ flip;
  const uint64_t b = dst ^ flip;
  out.kind = FlowKind::kV4;
  out.size = kV4FlowKeyBytes;
  StoreLe(out.bytes.data(), a >> 16 | b >> 16 << 32);
  StoreLe(out.bytes.data() + 8,
          Tail(static_cast<uint16_t>(a), static_cast<uint16_t>(b), protocol, ports.present, tag));
  return true;
}

// The keys of all other frames. REQUIRES: FromPlainV4() has said no.
void FromOther(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out);

// FrameToFlowKey(), with the short cut inlined.
[[gnu::always_inline]] inline void FromFrame(std::span<const uint8_t> frame, const StrippedTag& tag,
                                             FlowKey& out) {
  if (!FromPlainV4(frame, tag, out)) [[unlikely]]
    FromOther(frame, tag, out);
}

}  // namespace steno::flow_key
