#include "index/flow_table.h"

#include <sys/random.h>

namespace steno {
namespace {

constexpr size_t kEntryBytes = size_t{FlowTable::kEntries} * sizeof(FlowTable::Entry);
constexpr size_t kFlowBytes = size_t{kSegmentMaxFlows} * sizeof(FlowTable::Flow);
static_assert((kEntryBytes + kFlowBytes) % Mapping::kHugePageBytes == 0);
static_assert(FlowTable::kEntries == 1u << 20, "Index() takes the upper 20 bits of a hash");

}  // namespace

Result<FlowTable> FlowTable::Create() {
  Seed seed;
  if (::getrandom(seed.data(), sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    return Fail(Error::System("getrandom for the seed of the flow table"));
  }
  return Create(seed);
}

Result<FlowTable> FlowTable::Create(const Seed& seed) {
  FlowTable table;
  table.seed_ = seed;
  STENO_TRY(table.memory_, Mapping::AnonymousHuge(kEntryBytes + kFlowBytes));
  table.memory_.TakePages();  // a first packet of each page would wait for 2 MiB of zeros
  table.entries_ = reinterpret_cast<Entry*>(table.memory_.data());
  table.flows_ = reinterpret_cast<Flow*>(table.memory_.data() + kEntryBytes);
  return table;
}

void FlowTable::Start() { std::memset(entries_, 0, kEntryBytes); }

uint64_t FlowTable::HashLong(const FlowKey& key) const {
  uint64_t hash = seed_[3] + key.size;
  for (size_t at = 0; at < key.size; at += 16) {
    // Sizes are multiples of 8, not of 16.
    const uint64_t second = at + 8 < key.size ? Word(key, at + 8) : 0;
    hash = Mix(Word(key, at) ^ seed_[0] ^ hash, second ^ seed_[1]);
  }
  return Finish(hash);
}

FlowTable::Flow& FlowTable::Add(Entry& entry, const FlowKey& key, uint64_t hash, uint32_t flow,
                                uint32_t heap_offset) {
  const bool inlined = key.kind == FlowKind::kV4;
  entry = Tag(hash) | (flow + 1);
  Flow& added = flows_[flow];
  added.key[0] = inlined ? Word(key, 0) : hash;
  added.key[1] = inlined ? Word(key, 8) : heap_offset;
  added.kind = key.kind;
  added.key_size = key.size;
  return added;
}

}  // namespace steno
