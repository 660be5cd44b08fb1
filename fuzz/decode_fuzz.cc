// Frames: whatever the bytes, decoding stays inside them, the short cut to a flow key agrees with the long
// way, and the key can be read back and does not depend on direction.
//
// Links: steno_packet
//
// Input: bit 0 of byte 0 says whether a tag was stripped, bytes 1-2 are its TCI; the rest is the frame.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "packet/decode.h"
#include "packet/flow_key.h"

namespace {

using steno::FlowKey;
using steno::PacketHeaders;

bool Same(const FlowKey& a, const FlowKey& b) {
  return a.kind == b.kind && std::ranges::equal(a.view(), b.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  steno::StrippedTag tag;
  tag.present = (data[0] & 1) != 0;
  tag.tci = steno::LoadBe<uint16_t>(data + 1);
  // A copy of the exact size: a read outside hits the sanitizer's red zone.
  const size_t bytes = size - 3;
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes]);
  std::copy_n(data + 3, bytes, exact.get());

  PacketHeaders headers;
  steno::Decode({exact.get(), bytes}, tag, headers);
  STENO_CHECK(headers.layer_count <= steno::kMaxLayers);
  STENO_CHECK(headers.vlan_count <= steno::kMaxVlans);
  STENO_CHECK(headers.mpls_count <= steno::kMaxMplsLabels);

  FlowKey key;
  steno::MakeFlowKey(headers, key);
  FlowKey fast;
  steno::FrameToFlowKey({exact.get(), bytes}, tag, fast);
  STENO_CHECK(Same(key, fast));
  STENO_CHECK(steno::FlowKeySize(key.kind, key.view()) == key.size);

  PacketHeaders flow;
  STENO_CHECK(steno::ParseFlowKey(key.kind, key.view(), flow).has_value());
  FlowKey again;
  steno::MakeFlowKey(flow, again);
  STENO_CHECK(Same(key, again));

  std::swap(headers.src_mac, headers.dst_mac);
  for (steno::Layer& layer : headers.layers) {
    std::swap(layer.src, layer.dst);
    std::swap(layer.src_port, layer.dst_port);
  }
  steno::MakeFlowKey(headers, again);
  STENO_CHECK(Same(key, again));
  return 0;
}
