#include "index/flow_order.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "index/prefix_sort.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

FlowDetails DetailsOf(const PacketHeaders& headers) {
  const Layer& layer = headers.layers[0];
  return {.port_a = layer.src_port,
          .port_b = layer.dst_port,
          .vlan = static_cast<uint16_t>(headers.vlan_count > 0 ? headers.vlans[0] + 1 : 0),
          .protocol = layer.protocol,
          .has_ports = static_cast<uint8_t>(layer.has_ports ? 1 : 0)};
}

void Reserve(const SegmentSnapshot& segment, FlowOrder& order) {
  std::array<size_t, 4> of_kind{};
  for (const FlowRef& ref : segment.flow_refs) ++of_kind[static_cast<size_t>(ref.kind())];
  order.v4.reserve(of_kind[static_cast<size_t>(FlowKind::kV4)]);
  order.v6.reserve(of_kind[static_cast<size_t>(FlowKind::kV6)]);
  order.general.reserve(of_kind[static_cast<size_t>(FlowKind::kGeneral)]);
}

// Appends a flow whose key, if it is intact, is `key`.
void AddGeneral(FlowOrder& order, uint32_t id, std::span<const uint8_t> key) {
  order.general.push_back({.key_offset = static_cast<uint32_t>(order.general_keys.size()),
                           .id = id,
                           .key_size = static_cast<uint8_t>(key.size()),
                           .open = false});
  order.general_keys.insert(order.general_keys.end(), key.begin(), key.end());
}

void AddFlow(FlowOrder& order, uint32_t id, const FlowKey& key) {
  if (key.kind == FlowKind::kGeneral) {
    AddGeneral(order, id, key.view());
    return;
  }
  PacketHeaders headers;
  if (!ParseFlowKey(key.kind, key.view(), headers)) {
    AddGeneral(order, id, {});
    return;
  }
  const Layer& layer = headers.layers[0];
  if (key.kind == FlowKind::kV4) {
    order.v4.push_back(
        {static_cast<uint32_t>(layer.src.low), static_cast<uint32_t>(layer.dst.low), DetailsOf(headers), id});
  } else {
    order.v6.push_back({layer.src, layer.dst, DetailsOf(headers), id});
  }
}

// Fills in what the keys of the sorted general flows say.
void ReadGeneralKeys(FlowOrder& order) {
  PacketHeaders headers;
  uint32_t number = order.plain_count();
  for (GeneralFlow& flow : order.general) {
    const bool intact = ParseFlowKey(FlowKind::kGeneral, order.KeyOf(flow), headers).has_value();
    flow.open = !intact || headers.truncated_layers;
    for (unsigned i = 0; intact && i < headers.layer_count; ++i) {
      for (const Address& address : {headers.layers[i].src, headers.layers[i].dst}) {
        if (address.family == 4) {
          order.general_v4.push_back(address.low << 32 | number);
        } else {
          order.general_v6.push_back({address, number});
        }
      }
    }
    ++number;
  }
}

}  // namespace

FlowOrder SortFlows(const SegmentSnapshot& segment) {
  FlowOrder order;
  Reserve(segment, order);
  FlowKey key;
  for (uint32_t id = 0; id < segment.flow_refs.size(); ++id) {
    if (segment.CopyKey(id, key)) {
      AddFlow(order, id, key);
    } else {
      AddGeneral(order, id, {});
    }
  }
  const auto v4_key = [](const V4Flow& flow) { return uint64_t{flow.a} << 32 | flow.b; };
  PrefixSort(order.v4, v4_key, [&](const V4Flow& left, const V4Flow& right) {
    const uint64_t left_key = v4_key(left);
    const uint64_t right_key = v4_key(right);
    return left_key != right_key ? left_key < right_key : left.id < right.id;
  });
  std::ranges::sort(order.v6, {}, [](const V6Flow& flow) {
    return std::tuple(flow.a.high, flow.a.low, flow.b.high, flow.b.low, flow.id);
  });
  std::ranges::sort(order.general, [&order](const GeneralFlow& left, const GeneralFlow& right) {
    const auto left_key = order.KeyOf(left);
    const auto right_key = order.KeyOf(right);
    const auto keys = std::lexicographical_compare_three_way(left_key.begin(), left_key.end(),
                                                             right_key.begin(), right_key.end());
    return keys != 0 ? keys < 0 : left.id < right.id;
  });
  ReadGeneralKeys(order);
  return order;
}

}  // namespace steno
