// FlowOrder: the flows of a segment in the order of the sealed index, with what their columns need.
//
// Plain IPv4 flows by (first address, second address), then plain IPv6 flows likewise, then all others by
// key. Plain data; one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "index/byte_stream.h"
#include "index/segment.h"
#include "packet/address.h"

namespace steno {

// What a plain flow has beside its addresses.
struct FlowDetails {
  uint16_t port_a = 0;
  uint16_t port_b = 0;
  uint16_t vlan = 0;  // id + 1; 0 without a tag
  uint8_t protocol = 0;
  uint8_t has_ports = 0;
};

struct V4Flow {
  uint32_t a = 0;
  uint32_t b = 0;
  FlowDetails details;
  uint32_t id = 0;  // in the segment
};

struct V6Flow {
  Address a;
  Address b;
  FlowDetails details;
  uint32_t id = 0;
};

struct GeneralFlow {
  uint32_t key_offset = 0;  // in FlowOrder::general_keys
  uint32_t id = 0;
  uint8_t key_size = 0;  // 0 if the segment's key is broken
  bool open = false;     // may match any term: its headers are not all known
};

// A flow (numbered in the new order) in which an address occurs.
struct Reference {
  Address address;
  uint32_t flow = 0;
};

struct FlowOrder {
  std::vector<V4Flow> v4;
  std::vector<V6Flow> v6;
  std::vector<GeneralFlow> general;
  Bytes general_keys;
  std::vector<uint64_t>
      general_v4;  // addresses of the general flows: address in the upper half, new number below
  std::vector<Reference> general_v6;

  [[nodiscard]] std::span<const uint8_t> KeyOf(const GeneralFlow& flow) const {
    return std::span(general_keys).subspan(flow.key_offset, flow.key_size);
  }
  [[nodiscard]] uint32_t plain_count() const { return static_cast<uint32_t>(v4.size() + v6.size()); }
  [[nodiscard]] uint32_t count() const { return plain_count() + static_cast<uint32_t>(general.size()); }
  // Calls visit(segment's flow id) in the new order.
  template <class Visit>
  void ForEachId(Visit visit) const {
    for (const V4Flow& flow : v4) visit(flow.id);
    for (const V6Flow& flow : v6) visit(flow.id);
    for (const GeneralFlow& flow : general) visit(flow.id);
  }
};

FlowOrder SortFlows(const SegmentSnapshot& segment);

}  // namespace steno
