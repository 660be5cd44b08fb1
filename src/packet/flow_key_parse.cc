// ParseFlowKey(): keys come from files and from shared memory, so every field is checked.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/flow_key.h"
#include "packet/flow_key_layout.h"
#include "packet/plain_key.h"
#include "packet/wire.h"

namespace steno {

namespace {

// How many bytes one layer takes, from its kind byte; 0 for a kind that does not exist.
size_t LayerBytes(uint8_t kind_byte) {
  const size_t ports = (kind_byte & flow_key::kLayerPorts) != 0 ? 4 : 0;
  switch (static_cast<LayerKind>(kind_byte & ~flow_key::kLayerPorts)) {
    case LayerKind::kIpv4:
    case LayerKind::kArp:
      return 2 + ports + size_t{2} * 4;
    case LayerKind::kIpv6:
      return 2 + ports + size_t{2} * 16;
  }
  return 0;
}

// The bytes of a kGeneral key without its padding; 0 if broken.
size_t GeneralBytes(std::span<const uint8_t> bytes) {
  if (bytes.size() < flow_key::kGeneralHeaderBytes) return 0;
  const unsigned layers = bytes[0] & flow_key::kGeneralLayersMask;
  const unsigned vlans = bytes[1] & 0xfu;
  const unsigned labels = bytes[1] >> 4;
  if (layers > kMaxLayers || vlans > kMaxVlans || labels > kMaxMplsLabels) return 0;
  size_t at = flow_key::kGeneralHeaderBytes + vlans * size_t{2} + labels * size_t{4};
  if ((bytes[0] & flow_key::kGeneralMacs) != 0) at += 2 * wire::kMacBytes;
  for (unsigned i = 0; i < layers; ++i) {
    if (at >= bytes.size()) return 0;
    const size_t layer_bytes = LayerBytes(bytes[at]);
    if (layer_bytes == 0) return 0;
    at += layer_bytes;
  }
  return at;
}

Status Broken(FlowKind kind, const char* what) {
  return Fail(Error::Corrupt(fmt::format("flow key of kind {}: {}", static_cast<unsigned>(kind), what)));
}

Address LoadV6(const uint8_t* bytes) {
  return Address::V6(LoadLe<uint64_t>(bytes + 8), LoadLe<uint64_t>(bytes));
}

PlainKeyTail TailOf(FlowKind kind, const uint8_t* key) {
  PlainKeyTail tail;
  const size_t size = kind == FlowKind::kV4 ? kV4FlowKeyBytes : kV6FlowKeyBytes;
  std::memcpy(&tail, key + size - sizeof tail, sizeof tail);
  return tail;
}

template <class Number>
bool Ordered(Number a, Number b, const PlainKeyTail& tail) {
  return a < b || (a == b && tail.port_a <= tail.port_b);
}

// What is wrong with a kV4 or kV6 key; null if nothing is.
const char* PlainFault(FlowKind kind, const uint8_t* key) {
  const PlainKeyTail tail = TailOf(kind, key);
  if ((tail.flags & ~(PlainKeyTail::kPorts | PlainKeyTail::kVlan)) != 0) return "unknown flags";
  if (!tail.has_ports() && (tail.port_a | tail.port_b) != 0) return "ports where there are none";
  if (tail.vlan > (tail.has_vlan() ? wire::kVlanIdMask : 0)) return "VLAN id out of range";
  const bool ordered = kind == FlowKind::kV4 ? Ordered(LoadLe<uint32_t>(key), LoadLe<uint32_t>(key + 4), tail)
                                             : Ordered(LoadV6(key), LoadV6(key + 16), tail);
  return ordered ? nullptr : "ends out of order";
}

bool AddressesRuleOut(const AddressRange& range, FlowKind kind, const uint8_t* key) {
  if (kind == FlowKind::kV4) {
    return !range.Contains(Address::V4(LoadLe<uint32_t>(key))) &&
           !range.Contains(Address::V4(LoadLe<uint32_t>(key + 4)));
  }
  return !range.Contains(LoadV6(key)) && !range.Contains(LoadV6(key + 16));
}

Status ParsePlain(FlowKind kind, const uint8_t* key, PacketHeaders& out) {
  if (const char* fault = PlainFault(kind, key); fault != nullptr) return Broken(kind, fault);
  const bool ipv4 = kind == FlowKind::kV4;
  const PlainKeyTail tail = TailOf(kind, key);
  Layer& layer = out.layers[0];
  out.ether_type = ipv4 ? wire::kEtherIpv4 : wire::kEtherIpv6;
  layer.kind = ipv4 ? LayerKind::kIpv4 : LayerKind::kIpv6;
  layer.src = ipv4 ? Address::V4(LoadLe<uint32_t>(key)) : LoadV6(key);
  layer.dst = ipv4 ? Address::V4(LoadLe<uint32_t>(key + 4)) : LoadV6(key + 16);
  layer.src_port = tail.port_a;
  layer.dst_port = tail.port_b;
  layer.protocol = tail.protocol;
  layer.has_ports = tail.has_ports();
  out.layer_count = 1;
  out.vlan_count = tail.has_vlan() ? 1 : 0;
  out.vlans[0] = tail.vlan;
  return {};
}

// Reads the fields of a kGeneral key whose length has been checked.
void ParseGeneral(std::span<const uint8_t> key, PacketHeaders& out) {
  out.layer_count = key[0] & flow_key::kGeneralLayersMask;
  out.truncated_layers = (key[0] & flow_key::kGeneralTruncated) != 0;
  out.has_macs = (key[0] & flow_key::kGeneralMacs) != 0;
  out.vlan_count = key[1] & 0xfu;
  out.mpls_count = key[1] >> 4;
  out.ether_type = LoadLe<uint16_t>(key.data() + 2);
  const uint8_t* at = key.data() + flow_key::kGeneralHeaderBytes;
  if (out.has_macs) {
    std::copy_n(at, wire::kMacBytes, out.src_mac.begin());
    std::copy_n(at + wire::kMacBytes, wire::kMacBytes, out.dst_mac.begin());
    at += 2 * wire::kMacBytes;
  }
  for (unsigned i = 0; i < out.vlan_count; ++i, at += 2) out.vlans[i] = LoadLe<uint16_t>(at);
  for (unsigned i = 0; i < out.mpls_count; ++i, at += 4) out.mpls_labels[i] = LoadLe<uint32_t>(at);
  for (unsigned i = 0; i < out.layer_count; ++i) {
    Layer& layer = out.layers[i];
    layer.kind = static_cast<LayerKind>(at[0] & ~flow_key::kLayerPorts);
    layer.has_ports = (at[0] & flow_key::kLayerPorts) != 0;
    layer.protocol = at[1];
    at += 2;
    if (layer.has_ports) {
      layer.src_port = LoadLe<uint16_t>(at);
      layer.dst_port = LoadLe<uint16_t>(at + 2);
      at += 4;
    }
    if (layer.kind == LayerKind::kIpv6) {
      layer.src = LoadV6(at);
      layer.dst = LoadV6(at + 16);
      at += 32;
    } else {
      layer.src = Address::V4(LoadLe<uint32_t>(at));
      layer.dst = Address::V4(LoadLe<uint32_t>(at + 4));
      at += 8;
    }
  }
}

Status CheckGeneral(std::span<const uint8_t> key, const PacketHeaders& headers) {
  for (unsigned i = 0; i < headers.vlan_count; ++i) {
    if (headers.vlans[i] > wire::kVlanIdMask) return Broken(FlowKind::kGeneral, "VLAN id out of range");
  }
  for (unsigned i = 0; i < headers.mpls_count; ++i) {
    if (headers.mpls_labels[i] >> 20 != 0) return Broken(FlowKind::kGeneral, "MPLS label out of range");
  }
  for (unsigned i = 0; i < headers.layer_count; ++i) {
    const Layer& layer = headers.layers[i];
    if (layer.kind == LayerKind::kArp && (layer.has_ports || layer.protocol != 0)) {
      return Broken(FlowKind::kGeneral, "ARP with ports or a protocol");
    }
  }
  // Order of the ends, reserved bits, padding, and that no shorter encoding fits: all at once.
  FlowKey again;
  MakeFlowKey(headers, again);
  if (again.kind != FlowKind::kGeneral || !std::ranges::equal(again.view(), key)) {
    return Broken(FlowKind::kGeneral, "not in canonical form");
  }
  return {};
}

}  // namespace

size_t FlowKeySize(FlowKind kind, std::span<const uint8_t> bytes) {
  size_t size = 0;
  switch (kind) {
    case FlowKind::kV4:
      size = kV4FlowKeyBytes;
      break;
    case FlowKind::kV6:
      size = kV6FlowKeyBytes;
      break;
    case FlowKind::kGeneral:
      size = AlignUp(GeneralBytes(bytes), flow_key::kAlignment);
      break;
  }
  return size <= bytes.size() ? size : 0;
}

bool IsPlainKey(FlowKind kind, const uint8_t* key) { return PlainFault(kind, key) == nullptr; }

PlainKeyFilter::PlainKeyFilter(const Term& term) : term_(term) {
  const Address lowest = Address::V4(0);
  const Address highest = Address::V4(UINT32_MAX);
  const Address first = std::max(term.addresses.first, lowest);
  const Address last = std::min(term.addresses.last, highest);
  if (term.kind != TermKind::kAddress || last < first) return;
  v4_first_ = first.low;
  v4_last_ = last.low;
}

bool PlainKeyFilter::RulesOutSlowly(FlowKind kind, const uint8_t* key) const {
  const PlainKeyTail tail = TailOf(kind, key);
  switch (term_.kind) {
    case TermKind::kAddress:
      return AddressesRuleOut(term_.addresses, kind, key) && IsPlainKey(kind, key);
    case TermKind::kPort:
      return !Within(tail.port_a, term_.first, term_.last) && !Within(tail.port_b, term_.first, term_.last) &&
             IsPlainKey(kind, key);
    case TermKind::kProtocol:
      return !Within(tail.protocol, term_.first, term_.last) && IsPlainKey(kind, key);
    default:
      return false;
  }
}

Status ParseFlowKey(FlowKind kind, std::span<const uint8_t> key, PacketHeaders& out) {
  out = PacketHeaders{};
  const size_t size = FlowKeySize(kind, key);
  if (size == 0) return Broken(kind, "cut off or impossible counts");
  switch (kind) {
    case FlowKind::kV4:
    case FlowKind::kV6:
      return ParsePlain(kind, key.data(), out);
    case FlowKind::kGeneral:
      ParseGeneral(key.first(size), out);
      return CheckGeneral(key.first(size), out);
  }
  return Broken(kind, "no such kind");
}

}  // namespace steno
