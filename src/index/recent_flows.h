// RecentFlows: which flows have got their pair with the granule that is being filled, as far as a few
// kilobytes tell.
//
// Packets of one flow come close together: most of a granule's packets add nothing to the index. Those are
// known here, in the first-level cache, and need no look at the flow table, which is in memory. What has been
// replaced is looked up there, as always. Internal to IndexBuilder. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "packet/flow_key.h"

namespace steno {

class RecentFlows {
 public:
  // True if the flow was noted for this granule before; notes it if not.
  bool Note(const FlowKey& key, uint64_t hash, uint32_t granule) {
    if (key.size > kMaxKeyBytes) return false;
    Entry& entry = entries_[hash % entries_.size()];
    const uint64_t tag = uint64_t{granule} << 32 | uint64_t{kUsed} << 16 |
                         uint64_t{static_cast<uint8_t>(key.kind)} << 8 | key.size;
    if (entry.tag == tag && Equal(entry, key)) return true;
    entry.tag = tag;
    for (size_t at = 0; at < key.size; at += sizeof(uint64_t))
      std::memcpy(entry.key + at, key.bytes.data() + at, 8);
    return false;
  }

  void Forget() { entries_ = {}; }

 private:
  static constexpr size_t kMaxKeyBytes = kV6FlowKeyBytes;
  static constexpr uint8_t kUsed = 1;
  struct alignas(64) Entry {
    uint64_t tag = 0;  // granule, kUsed, kind and size
    uint8_t key[kMaxKeyBytes] = {};
  };

  // Sizes are multiples of 8.
  static bool Equal(const Entry& entry, const FlowKey& key) {
    uint64_t different = 0;
    for (size_t at = 0; at < key.size; at += sizeof(uint64_t)) {
      uint64_t noted;
      uint64_t asked;
      std::memcpy(&noted, entry.key + at, sizeof noted);
      std::memcpy(&asked, key.bytes.data() + at, sizeof asked);
      different |= noted ^ asked;
    }
    return different == 0;
  }

  std::array<Entry, 128> entries_{};
};

}  // namespace steno
