// A model of the index that Stenographer's predecessor kept, to compare with: per attribute (protocol, port,
// VLAN, MPLS label, IPv4 and IPv6 address) an ordered map from its values to the positions of their packets,
// 4 bytes a position. A packet's protocol has one entry, its ports and addresses have two each. Written out,
// every value is a key of one type byte and the value, with all of its positions behind it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "packet/decode.h"
#include "packet/headers.h"

namespace steno::bench {

class PostingMaps {
 public:
  // `position`: of the packet, in whatever fits 32 bits.
  void Add(const PacketHeaders& headers, uint32_t position) {
    for (unsigned i = 0; i < headers.vlan_count; ++i) Append(vlans_[headers.vlans[i]], position);
    for (unsigned i = 0; i < headers.mpls_count; ++i) Append(mpls_[headers.mpls_labels[i]], position);
    if (headers.layer_count == 0) return;
    const Layer& layer = headers.layers[0];
    if (layer.kind != LayerKind::kIpv4 && layer.kind != LayerKind::kIpv6) return;
    Append(protocols_[layer.protocol], position);
    if (layer.has_ports) {
      Append(ports_[layer.src_port], position);
      Append(ports_[layer.dst_port], position);
    }
    for (const Address& address : {layer.src, layer.dst}) {
      if (address.family == 4) {
        Append(v4_[static_cast<uint32_t>(address.low)], position);
      } else {
        Append(v6_[{address.high, address.low}], position);
      }
    }
  }

  // Bytes of keys, positions, and what a sorted string table adds to an entry (three lengths).
  [[nodiscard]] uint64_t WrittenBytes() const {
    return Bytes(protocols_, 1) + Bytes(ports_, 2) + Bytes(vlans_, 2) + Bytes(mpls_, 4) + Bytes(v4_, 4) +
           Bytes(v6_, 16);
  }

 private:
  using Positions = std::vector<uint32_t>;
  static constexpr uint64_t kEntryBytes = 1 + 3;  // type, lengths

  static void Append(Positions& positions, uint32_t position) {
    if (positions.empty() || positions.back() != position) positions.push_back(position);
  }
  template <class Map>
  static uint64_t Bytes(const Map& map, uint64_t key_bytes) {
    uint64_t bytes = 0;
    for (const auto& [value, positions] : map)
      bytes += kEntryBytes + key_bytes + positions.size() * sizeof(uint32_t);
    return bytes;
  }

  std::map<uint8_t, Positions> protocols_;
  std::map<uint16_t, Positions> ports_;
  std::map<uint16_t, Positions> vlans_;
  std::map<uint32_t, Positions> mpls_;
  std::map<uint32_t, Positions> v4_;
  std::map<std::array<uint64_t, 2>, Positions> v6_;
};

}  // namespace steno::bench
