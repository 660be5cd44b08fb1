// IPv4, IPv6 with extension headers, and ports.
#include "base/bytes.h"
#include "packet/decoder.h"
#include "packet/wire.h"

namespace steno::internal {

Decoder::Step Decoder::ReadIpv4() {
  if (!Has(wire::kIpv4Bytes)) return End();
  Layer* layer = AddLayer(LayerKind::kIpv4);
  if (layer == nullptr) return End();
  layer->protocol = rest_[9];
  layer->src = Address::FromV4Bytes(rest_.data() + 12);
  layer->dst = Address::FromV4Bytes(rest_.data() + 16);
  if ((LoadBe<uint16_t>(rest_.data() + 6) & wire::kFragmentOffsetMask) != 0) return End();
  const size_t header_bytes = size_t{4} * (rest_[0] & 0xfu);
  if (!Skip(header_bytes)) return End();
  ReadPorts(*layer);
  // A header length below 20 is broken. Filters of libpcap read ports there all the same, so we do; but a
  // tunnel cannot start inside its own IP header.
  return header_bytes < wire::kIpv4Bytes ? End() : ReadTunnel(*layer);
}

Decoder::Step Decoder::ReadIpv6() {
  if (!Has(wire::kIpv6Bytes)) return End();
  Layer* layer = AddLayer(LayerKind::kIpv6);
  if (layer == nullptr) return End();
  layer->protocol = rest_[6];
  layer->src = Address::FromV6Bytes(rest_.data() + 8);
  layer->dst = Address::FromV6Bytes(rest_.data() + 24);
  Skip(wire::kIpv6Bytes);
  if (!ReadExtensions(*layer)) return End();
  ReadPorts(*layer);
  return ReadTunnel(*layer);
}

bool Decoder::ReadExtensions(Layer& layer) {
  while (wire::IsIpv6Extension(layer.protocol)) {
    if (!Has(2) || !Spend()) return false;
    size_t bytes = (size_t{rest_[1]} + 1) * 8;
    bool later_fragment = false;
    if (layer.protocol == wire::kIpAh) {
      bytes = (size_t{rest_[1]} + 2) * 4;  // RFC 4302: in 4-byte units, minus 2
    } else if (layer.protocol == wire::kIpFragment) {
      bytes = 8;
      if (!Has(4)) return false;
      later_fragment = LoadBe<uint16_t>(rest_.data() + 2) >> 3 != 0;
    }
    layer.protocol = rest_[0];
    if (later_fragment || !Skip(bytes)) return false;
  }
  return true;
}

void Decoder::ReadPorts(Layer& layer) {
  if (!wire::HasPorts(layer.protocol) || !Has(wire::kPortsBytes)) return;
  layer.has_ports = true;
  layer.src_port = LoadBe<uint16_t>(rest_.data());
  layer.dst_port = LoadBe<uint16_t>(rest_.data() + 2);
}

Decoder::Step Decoder::ReadTunnel(const Layer& layer) {
  switch (layer.protocol) {
    case wire::kIpIpv4:
      return Payload(wire::kEtherIpv4);
    case wire::kIpIpv6:
      return Payload(wire::kEtherIpv6);
    case wire::kIpGre:
      return ReadGre();
    case wire::kIpUdp:
      if (!layer.has_ports) return End();
      if (layer.dst_port == wire::kPortVxlan) return ReadVxlan();
      if (layer.dst_port == wire::kPortGeneve) return ReadGeneve();
      if (layer.dst_port == wire::kPortGtpU || layer.src_port == wire::kPortGtpU) return ReadGtp();
      return End();
    default:
      return End();
  }
}

}  // namespace steno::internal
