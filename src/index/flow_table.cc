#include "index/flow_table.h"

#include <sys/random.h>

namespace steno {
namespace {

constexpr size_t kTableBytes = size_t{FlowTable::kSlots} * sizeof(FlowTable::Slot);
constexpr uint32_t kMaxEpoch = (1u << 30) - 1;
static_assert(kTableBytes % Mapping::kHugePageBytes == 0);
static_assert(FlowTable::kSlots == 1u << 20, "Index() takes the upper 20 bits of a hash");

}  // namespace

Result<FlowTable> FlowTable::Create() {
  FlowTable table;
  STENO_TRY(table.memory_, Mapping::AnonymousHuge(kTableBytes));  // every look-up goes to a random page
  table.memory_.TakePages();  // a first packet of each page would wait for 2 MiB of zeros
  table.slots_ = reinterpret_cast<Slot*>(table.memory_.data());
  if (::getrandom(table.seed_, sizeof table.seed_, 0) != static_cast<ssize_t>(sizeof table.seed_)) {
    return Fail(Error::System("getrandom for the seed of the flow table"));
  }
  return table;
}

void FlowTable::Start() {
  if (epoch_ == kMaxEpoch) {
    std::memset(slots_, 0, kTableBytes);
    epoch_ = 0;
  }
  ++epoch_;
}

uint64_t FlowTable::HashLong(const FlowKey& key) const {
  uint64_t hash = seed_[3] + key.size;
  for (size_t at = 0; at < key.size; at += 16) {
    // Sizes are multiples of 8, not of 16.
    const uint64_t second = at + 8 < key.size ? Word(key, at + 8) : 0;
    hash = Mix(Word(key, at) ^ seed_[0] ^ hash, second ^ seed_[1]);
  }
  return Mix(hash ^ seed_[2], seed_[3] | 1);
}

void FlowTable::Occupy(Slot& slot, const FlowKey& key, uint64_t hash, uint32_t flow,
                       uint32_t heap_offset) const {
  const bool inlined = key.kind == FlowKind::kV4;
  slot.key[0] = inlined ? Word(key, 0) : hash;
  slot.key[1] = inlined ? Word(key, 8) : heap_offset;
  slot.epoch_and_kind = epoch_ << 2 | static_cast<uint32_t>(key.kind);
  slot.flow = flow;
  slot.key_size = key.size;
}

}  // namespace steno
