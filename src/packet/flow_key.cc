#include "packet/flow_key.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/flow_key_layout.h"
#include "packet/wire.h"

namespace steno {

namespace {

using flow_key::Ends;

uint8_t PlainFlags(bool has_ports, bool has_vlan) {
  return static_cast<uint8_t>((has_ports ? PlainKeyTail::kPorts : 0) | (has_vlan ? PlainKeyTail::kVlan : 0));
}

// Whether one of the short encodings can hold everything.
bool IsPlain(const PacketHeaders& headers) {
  if (headers.layer_count != 1 || headers.vlan_count > 1 || headers.mpls_count != 0 ||
      headers.truncated_layers) {
    return false;
  }
  const LayerKind kind = headers.layers[0].kind;
  return (kind == LayerKind::kIpv4 && headers.ether_type == wire::kEtherIpv4) ||
         (kind == LayerKind::kIpv6 && headers.ether_type == wire::kEtherIpv6);
}

// Appends fields to a key.
class KeyWriter {
 public:
  explicit KeyWriter(FlowKey& key) : key_(key) {}

  template <std::unsigned_integral T>
  void Put(T value) {
    StoreLe(key_.bytes.data() + at_, value);
    at_ += sizeof value;
  }
  void PutMac(const MacAddress& mac) {
    std::copy(mac.begin(), mac.end(), key_.bytes.data() + at_);
    at_ += mac.size();
  }
  void PutAddress(const Address& address, LayerKind kind) {
    if (kind == LayerKind::kIpv6) {
      Put(address.low);
      Put(address.high);
    } else {
      Put(static_cast<uint32_t>(address.low));
    }
  }
  void Finish() {
    const size_t size = AlignUp(at_, flow_key::kAlignment);
    std::fill(key_.bytes.data() + at_, key_.bytes.data() + size, uint8_t{0});
    key_.kind = FlowKind::kGeneral;
    key_.size = static_cast<uint8_t>(size);
  }

 private:
  FlowKey& key_;
  size_t at_ = 0;
};

void MakeGeneral(const PacketHeaders& headers, FlowKey& out) {
  const bool has_macs = headers.layer_count == 0 && headers.has_macs;
  KeyWriter writer(out);
  writer.Put(static_cast<uint8_t>(headers.layer_count |
                                  (headers.truncated_layers ? flow_key::kGeneralTruncated : 0) |
                                  (has_macs ? flow_key::kGeneralMacs : 0)));
  writer.Put(static_cast<uint8_t>(headers.vlan_count | headers.mpls_count << 4));
  writer.Put(headers.ether_type);
  if (has_macs) {
    writer.PutMac(std::min(headers.src_mac, headers.dst_mac));
    writer.PutMac(std::max(headers.src_mac, headers.dst_mac));
  }
  for (unsigned i = 0; i < headers.vlan_count; ++i) writer.Put(headers.vlans[i]);
  for (unsigned i = 0; i < headers.mpls_count; ++i) writer.Put(headers.mpls_labels[i]);
  for (unsigned i = 0; i < headers.layer_count; ++i) {
    const Layer& layer = headers.layers[i];
    const Ends ends = Ends::Of(layer);
    const auto kind = static_cast<uint8_t>(layer.kind);
    writer.Put(static_cast<uint8_t>(kind | (layer.has_ports ? flow_key::kLayerPorts : 0)));
    writer.Put(layer.protocol);
    if (layer.has_ports) {
      writer.Put(ends.port_a);
      writer.Put(ends.port_b);
    }
    writer.PutAddress(ends.a, layer.kind);
    writer.PutAddress(ends.b, layer.kind);
  }
  writer.Finish();
}

}  // namespace

namespace flow_key {

Ends Ends::Of(const Layer& layer) {
  const bool swap = layer.dst < layer.src || (layer.dst == layer.src && layer.dst_port < layer.src_port);
  if (swap) return {layer.dst, layer.src, layer.dst_port, layer.src_port};
  return {layer.src, layer.dst, layer.src_port, layer.dst_port};
}

}  // namespace flow_key

void MakeFlowKey(const PacketHeaders& headers, FlowKey& out) {
  if (!IsPlain(headers)) {
    MakeGeneral(headers, out);
    return;
  }
  const Layer& layer = headers.layers[0];
  const Ends ends = Ends::Of(layer);
  uint8_t* tail = out.bytes.data();
  if (layer.kind == LayerKind::kIpv4) {
    out.kind = FlowKind::kV4;
    out.size = kV4FlowKeyBytes;
    StoreLe(tail, static_cast<uint32_t>(ends.a.low));
    StoreLe(tail + 4, static_cast<uint32_t>(ends.b.low));
    tail += 8;
  } else {
    out.kind = FlowKind::kV6;
    out.size = kV6FlowKeyBytes;
    StoreLe(tail, ends.a.low);
    StoreLe(tail + 8, ends.a.high);
    StoreLe(tail + 16, ends.b.low);
    StoreLe(tail + 24, ends.b.high);
    tail += 32;
  }
  const bool has_vlan = headers.vlan_count == 1;
  StoreLe(tail,
          flow_key::PackTail(ends.port_a, ends.port_b, layer.protocol, PlainFlags(layer.has_ports, has_vlan),
                             has_vlan ? headers.vlans[0] : uint16_t{0}));
}

}  // namespace steno
