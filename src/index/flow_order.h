// FlowOrder: the flows of a segment in the order of the sealed index: plain IPv4 flows by (first address,
// second address, rest of the key), then plain IPv6 flows likewise, then all others by key.
//
// Lives in scratch memory, borrows the segment; one thread. The segment's content is not trusted: a flow
// whose key is broken counts among the others, without a key.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "index/scratch.h"
#include "index/segment.h"
#include "packet/address.h"

namespace steno {

struct FlowOrder {
  struct V6Address {
    uint64_t high;
    uint64_t low;
  };

  const SegmentSnapshot* segment = nullptr;
  std::span<uint32_t> ids;  // the segment's, by new number
  std::span<uint64_t>
      v4_addresses;  // of the plain IPv4 flows: first address in the upper half, second in the lower
  std::span<V6Address> v6_addresses;  // of the plain IPv6 flows: the first address
  std::span<PlainKeyTail> tails;      // of all plain flows

  [[nodiscard]] uint32_t v4_count() const { return static_cast<uint32_t>(v4_addresses.size()); }
  [[nodiscard]] uint32_t v6_count() const { return static_cast<uint32_t>(v6_addresses.size()); }
  [[nodiscard]] uint32_t plain_count() const { return v4_count() + v6_count(); }
  [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(ids.size()); }

  // The second address of a plain IPv6 flow. `flow`: its new number.
  [[nodiscard]] Address V6Second(uint32_t flow) const;
  // To be called some flows earlier.
  void PrefetchV6(uint32_t flow) const {
    if (flow < count())
      __builtin_prefetch(segment->key_heap.data() + segment->flow_refs[ids[flow]].heap_offset() + 16);
  }
  // The key of a flow that is not plain, copied to `out`; without bytes if it is broken.
  void CopyGeneralKey(uint32_t flow, FlowKey& out) const;
};

// Takes what it returns from `scratch`, the tails last, so that they can be released first. kExhausted if
// that is too small.
Result<FlowOrder> SortFlows(const SegmentSnapshot& segment, Scratch& scratch);

}  // namespace steno
