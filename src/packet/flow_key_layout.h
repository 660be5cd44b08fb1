// The bits of flow keys that more than one file needs. Internal to this module; described in flow_key.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/flow_key.h"
#include "packet/headers.h"

namespace steno::flow_key {

// kGeneral: byte 0 beside the number of layers, and the kind byte of a layer.
inline constexpr uint8_t kGeneralLayersMask = 7;
inline constexpr uint8_t kGeneralTruncated = 8;
inline constexpr uint8_t kGeneralMacs = 16;
inline constexpr uint8_t kLayerPorts = 0x80;

inline constexpr size_t kAlignment = 8;
inline constexpr size_t kGeneralHeaderBytes = 4;
inline constexpr size_t kMaxGeneralBytes = kGeneralHeaderBytes + size_t{kMaxVlans} * 2 +
                                           size_t{kMaxMplsLabels} * 4 + size_t{kMaxLayers} * (2 + 4 + 2 * 16);
static_assert((kMaxGeneralBytes + kAlignment - 1) / kAlignment * kAlignment <= kMaxFlowKeyBytes);
static_assert(kMaxFlowKeyBytes <= UINT8_MAX && kMaxLayers <= kGeneralLayersMask);
static_assert(kMaxVlans < 16 && kMaxMplsLabels < 16, "counts have 4 bits each");
static_assert(kV4FlowKeyBytes % kAlignment == 0 && kV6FlowKeyBytes % kAlignment == 0);

// A layer's two ends in canonical order.
struct Ends {
  Address a;
  Address b;
  uint16_t port_a;
  uint16_t port_b;

  static Ends Of(const Layer& layer);
};

// The last 8 bytes of kV4 and kV6 as one little-endian number: ports, protocol, flags, VLAN id.
constexpr uint64_t PackTail(uint16_t port_a, uint16_t port_b, uint8_t protocol, uint8_t flags,
                            uint16_t vlan) {
  return uint64_t{port_a} | uint64_t{port_b} << 16 | uint64_t{protocol} << 32 | uint64_t{flags} << 40 |
         uint64_t{vlan} << 48;
}

}  // namespace steno::flow_key
