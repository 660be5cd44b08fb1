// FlowTable: flow key -> flow id, for the packets of one file. Open addressing with linear probing over 1 M
// entries of 4 bytes, each the number of a flow and a few bits of its hash; the flows themselves follow each
// other in the order of their numbers.
//
// Both parts are small for what they hold (4 and 12 MiB), as most of what a look-up costs is what it misses
// in the caches and the TLB: an empty entry tells of a new flow without a look at any other, and flows that
// came up together lie together. Internal to IndexBuilder. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/mapping.h"
#include "base/result.h"
#include "index/segment.h"
#include "packet/flow_key.h"

namespace steno {

class FlowTable {
 public:
  struct Flow {
    uint64_t key[2];        // kV4: the key; else hash, and offset in the key heap
    uint32_t last_granule;  // the latest granule for which the flow has a pair
    FlowKind kind;
    uint8_t key_size;
  };
  static_assert(sizeof(Flow) == 24);

  // Where a key is, or belongs. The upper bits are its hash's, the others a flow's number plus one; 0: empty.
  using Entry = uint32_t;

  static constexpr uint32_t kEntries = 1 << 20;
  // At half load, the most a segment can hold, the longest run of 1 M entries has about 70.
  static constexpr uint32_t kMaxProbes = 128;

  using Seed = std::array<uint64_t, 4>;
  static Result<FlowTable> Create();  // with a random seed, so that nobody can choose flows that collide
  static Result<FlowTable> Create(const Seed& seed);

  // Forgets everything: 4 MiB of zeros.
  void Start();

  [[nodiscard]] uint64_t Hash(const FlowKey& key) const {
    if (key.kind == FlowKind::kV4) [[likely]] {
      return Finish(Mix(Word(key, 0) ^ seed_[0], Word(key, 8) ^ seed_[1]));
    }
    return HashLong(key);
  }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&entries_[Index(hash)], 1); }
  // To be called some time after that, and before Find().
  void PrefetchFlow(uint64_t hash) const {
    const Entry entry = entries_[Index(hash)];
    if (entry != 0 && TagOf(entry) == Tag(hash)) __builtin_prefetch(&flows_[NumberOf(entry)], 1);
  }

  // The key's entry, or the empty one where it belongs; null if the probe limit was reached. Keys other than
  // kV4 are compared in `key_heap`.
  Entry* Find(const FlowKey& key, uint64_t hash, const uint8_t* key_heap);
  static uint32_t NumberOf(Entry entry) { return (entry & kNumberMask) - 1; }
  Flow& At(uint32_t flow) { return flows_[flow]; }
  // Makes an empty entry the key's, whose bytes are at `heap_offset` of the key heap. Its last granule is for
  // the caller to set.
  Flow& Add(Entry& entry, const FlowKey& key, uint64_t hash, uint32_t flow, uint32_t heap_offset);

 private:
  static constexpr unsigned kNumberBits = 20;
  static constexpr uint32_t kNumberMask = (1u << kNumberBits) - 1;
  static_assert(kSegmentMaxFlows <= kNumberMask);

  FlowTable() = default;

  static uint64_t Word(const FlowKey& key, size_t at) {
    uint64_t word;
    std::memcpy(&word, key.bytes.data() + at, sizeof word);
    return word;
  }
  // Both halves of a full product: every input bit reaches every output bit that an index is made of.
  static uint64_t Mix(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  // Once more, as keys in a row (a scan) would come in a row of equal distances: with one seed of a hundred
  // they then lay so close together that the probe limit was reached.
  [[nodiscard]] uint64_t Finish(uint64_t mixed) const { return Mix(mixed ^ seed_[2], seed_[3] | 1); }
  static uint32_t Index(uint64_t hash) { return static_cast<uint32_t>(hash >> 44); }
  static uint32_t Tag(uint64_t hash) { return static_cast<uint32_t>(hash >> 12) & ~kNumberMask; }
  static uint32_t TagOf(Entry entry) { return entry & ~kNumberMask; }
  [[nodiscard]] uint64_t HashLong(const FlowKey& key) const;
  [[nodiscard]] bool Holds(const Flow& flow, const FlowKey& key, uint64_t hash,
                           const uint8_t* key_heap) const {
    if (flow.kind != key.kind) return false;
    if (key.kind == FlowKind::kV4) return flow.key[0] == Word(key, 0) && flow.key[1] == Word(key, 8);
    return flow.key[0] == hash && flow.key_size == key.size &&
           std::memcmp(key_heap + flow.key[1], key.bytes.data(), key.size) == 0;
  }

  Mapping memory_;
  Entry* entries_ = nullptr;
  Flow* flows_ = nullptr;
  Seed seed_{};
};

inline FlowTable::Entry* FlowTable::Find(const FlowKey& key, uint64_t hash, const uint8_t* key_heap) {
  const uint32_t tag = Tag(hash);
  uint32_t index = Index(hash);
  for (uint32_t probe = 0; probe < kMaxProbes; ++probe, index = (index + 1) % kEntries) {
    Entry& entry = entries_[index];
    if (entry == 0) return &entry;
    if (TagOf(entry) == tag && Holds(flows_[NumberOf(entry)], key, hash, key_heap)) return &entry;
  }
  return nullptr;
}

}  // namespace steno
