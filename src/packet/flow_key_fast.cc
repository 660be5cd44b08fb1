// FrameToFlowKey(): straight from the bytes of a plain frame to its key, as flow_key_fast.h does it for IPv4.
#include "packet/flow_key_fast.h"

#include "base/bytes.h"
#include "packet/flow_key.h"
#include "packet/wire.h"

namespace steno {

namespace {

using flow_key::Ports;
using flow_key::Shape;
using flow_key::Tail;
using flow_key::TakePorts;

constexpr std::array<Shape, 256> kShapesV6 = flow_key::MakeShapes(true);

bool FromPlainV6(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out) {
  if (frame.size() < wire::kEthernetBytes + wire::kIpv6Bytes) return false;
  if (LoadBe<uint16_t>(frame.data() + 2 * wire::kMacBytes) != wire::kEtherIpv6) return false;
  const uint8_t* ip = frame.data() + wire::kEthernetBytes;
  const uint8_t protocol = ip[6];
  const Shape shape = kShapesV6[protocol];
  if (shape == Shape::kSlow) return false;
  Ports ports;
  if (!TakePorts(frame, wire::kEthernetBytes + wire::kIpv6Bytes, shape, ports)) return false;
  using Wide = unsigned __int128;
  const Wide src = Wide{LoadBe<uint64_t>(ip + 8)} << 64 | LoadBe<uint64_t>(ip + 16);
  const Wide dst = Wide{LoadBe<uint64_t>(ip + 24)} << 64 | LoadBe<uint64_t>(ip + 32);
  const bool swap = (dst < src) | ((dst == src) & (ports.dst < ports.src));
  const Wide mask = Wide{0} - Wide{swap};
  const Wide flip = (src ^ dst) & mask;
  const Wide a = src ^ flip;
  const Wide b = dst ^ flip;
  out.kind = FlowKind::kV6;
  out.size = kV6FlowKeyBytes;
  StoreLe(out.bytes.data(), static_cast<uint64_t>(a));
  StoreLe(out.bytes.data() + 8, static_cast<uint64_t>(a >> 64));
  StoreLe(out.bytes.data() + 16, static_cast<uint64_t>(b));
  StoreLe(out.bytes.data() + 24, static_cast<uint64_t>(b >> 64));
  const uint16_t port_a = swap ? ports.dst : ports.src;
  const uint16_t port_b = swap ? ports.src : ports.dst;
  StoreLe(out.bytes.data() + 32, Tail(port_a, port_b, protocol, ports.present, tag));
  return true;
}

// Not inlined: its large frame of locals stays off the short cut.
[[gnu::noinline]] void Slow(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out) {
  PacketHeaders headers;
  Decode(frame, tag, headers);
  MakeFlowKey(headers, out);
}

}  // namespace

void flow_key::FromOther(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out) {
  if (!FromPlainV6(frame, tag, out)) Slow(frame, tag, out);
}

void FrameToFlowKey(std::span<const uint8_t> frame, const StrippedTag& tag, FlowKey& out) {
  flow_key::FromFrame(frame, tag, out);
}

}  // namespace steno
