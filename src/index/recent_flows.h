// RecentFlows: which plain flows a block's packets have shown in the granule at hand, as far as a few
// kilobytes tell.
//
// Packets of one flow come close together: most of a granule's packets add nothing to the index. Those are
// known here, in the first-level cache, and need no look at the flow table, which is in memory. What has been
// replaced is looked up there, as always. Internal to PacketScout. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "packet/flow_key.h"

namespace steno {

class RecentFlows {
 public:
  // True if the flow was noted for this granule before; notes it. `granule` must not be 0.
  [[gnu::always_inline]] bool Note(const FlowKey& key, uint32_t granule) {
    if (key.kind == FlowKind::kV4) [[likely]]
      return v4_.Note(key, granule);
    return key.kind == FlowKind::kV6 && v6_.Note(key, granule);
  }

  void Forget() { *this = {}; }

 private:
  // Which of two flows a place is about is not decided by a branch: half of the decisions would be wrong.
  template <size_t kKeyBytes, size_t kPlaces>
  class Places {
   public:
    [[gnu::always_inline]] bool Note(const FlowKey& key, uint32_t granule) {
      Words words;
      std::memcpy(words.data(), key.bytes.data(), kKeyBytes);
      uint64_t mixed = 0;
      for (const uint64_t word : words) mixed = (mixed ^ word) * kMultiplier;
      Place& place = places_[mixed >> 32 & (kPlaces - 1)];
      uint64_t different = place.granule ^ granule;
      for (size_t i = 0; i < words.size(); ++i) different |= place.words[i] ^ words[i];
      place.words = words;
      place.granule = granule;
      return different == 0;
    }

   private:
    static_assert((kPlaces & (kPlaces - 1)) == 0 && kKeyBytes % sizeof(uint64_t) == 0);
    static constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // odd, 2^64 divided by the golden ratio
    using Words = std::array<uint64_t, kKeyBytes / sizeof(uint64_t)>;
    struct Place {
      Words words{};
      uint64_t granule = 0;
    };
    std::array<Place, kPlaces> places_{};
  };

  Places<kV4FlowKeyBytes, 64> v4_;
  Places<kV6FlowKeyBytes, 32> v6_;
};

}  // namespace steno
