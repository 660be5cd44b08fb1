// FlowTable: flow key -> flow id, for the packets of one file. Open addressing with linear probing in 1 M
// slots of 32 bytes; plain IPv4 keys stand in their slot, so that finding them takes one cache line.
//
// Internal to IndexBuilder. Not thread-safe. Start() forgets everything without touching the memory: a slot
// counts only if it carries the epoch of the current file.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/mapping.h"
#include "base/result.h"
#include "packet/flow_key.h"

namespace steno {

class FlowTable {
 public:
  struct Slot {
    uint64_t key[2];  // kV4: the key; else hash, and offset in the key heap
    uint32_t epoch_and_kind;
    uint32_t flow;
    uint32_t last_granule;  // the latest granule for which the flow has a pair
    uint32_t key_size;
  };
  static_assert(sizeof(Slot) == 32);

  static constexpr uint32_t kSlots = 1 << 20;
  // At half load, the most a segment can hold, the longest run of 1 M slots has about 70.
  static constexpr uint32_t kMaxProbes = 128;

  static Result<FlowTable> Create();

  void Start();

  [[nodiscard]] uint64_t Hash(const FlowKey& key) const {
    if (key.kind == FlowKind::kV4) [[likely]] {
      return Mix(Word(key, 0) ^ seed_[0], Word(key, 8) ^ seed_[1]);
    }
    return HashLong(key);
  }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[Index(hash)], 1); }

  // The key's slot, or the empty slot where it belongs (Occupied() tells); null if the probe limit was
  // reached. Keys other than kV4 are compared in `key_heap`.
  Slot* Find(const FlowKey& key, uint64_t hash, const uint8_t* key_heap);
  [[nodiscard]] bool Occupied(const Slot& slot) const { return slot.epoch_and_kind >> 2 == epoch_; }
  // Makes an empty slot the key's, whose bytes are at `heap_offset` of the key heap.
  void Occupy(Slot& slot, const FlowKey& key, uint64_t hash, uint32_t flow, uint32_t heap_offset) const;

 private:
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
  static uint32_t Index(uint64_t hash) { return static_cast<uint32_t>(hash >> 44); }
  [[nodiscard]] uint64_t HashLong(const FlowKey& key) const;

  Mapping memory_;
  Slot* slots_ = nullptr;
  uint64_t seed_[4] = {};
  uint32_t epoch_ = 0;  // 30 bits
};

inline FlowTable::Slot* FlowTable::Find(const FlowKey& key, uint64_t hash, const uint8_t* key_heap) {
  const uint32_t wanted = epoch_ << 2 | static_cast<uint32_t>(key.kind);
  const bool inlined = key.kind == FlowKind::kV4;
  const uint64_t first = inlined ? Word(key, 0) : hash;
  const uint64_t second = inlined ? Word(key, 8) : 0;
  uint32_t index = Index(hash);
  for (uint32_t probe = 0; probe < kMaxProbes; ++probe, index = (index + 1) % kSlots) {
    Slot& slot = slots_[index];
    if (!Occupied(slot)) return &slot;
    if (slot.epoch_and_kind != wanted || slot.key[0] != first) continue;
    if (inlined) {
      if (slot.key[1] == second) return &slot;
    } else if (slot.key_size == key.size &&
               std::memcmp(key_heap + slot.key[1], key.bytes.data(), key.size) == 0) {
      return &slot;
    }
  }
  return nullptr;
}

}  // namespace steno
