#include "index/builder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "index/flow_table.h"
#include "index/packet_scout.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

// Packets between the stages of AddBlock(): enough to hide a cache miss on the flow table, few enough for
// their keys to stay in the first-level cache.
constexpr size_t kBatch = 16;

// How far ahead of the walk packet headers are fetched: in packets where a scout knows them, in bytes where
// the walk is a chain of loads that the processor cannot run ahead of.
constexpr size_t kPrefetchPackets = 12;
constexpr size_t kPrefetchBytes = 2048;

// The packet's header is followed by its frame's, three cache lines in all.
inline void PrefetchPacket(const uint8_t* packet) {
  __builtin_prefetch(packet);
  __builtin_prefetch(packet + 64);
  __builtin_prefetch(packet + 128);
}

constexpr uint32_t kNoGranule = UINT32_MAX;

}  // namespace

struct IndexBuilder::Impl {
  explicit Impl(FlowTable flow_table) : table(std::move(flow_table)) {}

  void Begin(const SegmentMemory* new_segment, uint32_t pair_limit);
  BlockSummary AddBlock(std::span<const uint8_t> block, uint64_t file_offset, uint32_t drops);
  void AddBatch(size_t packets);
  bool OpenGranule(uint64_t file_offset);
  bool AddPacket(const FlowKey& key, uint64_t hash);
  FlowTable::Slot* AddFlow(FlowTable::Slot& slot, const FlowKey& key, uint64_t hash);
  void AppendBlock(const BlockSummary& summary, std::span<const uint8_t> block, uint64_t file_offset,
                   uint32_t drops);

  FlowTable table;
  PacketScout scout;
  SegmentMemory segment{};
  bool active = false;  // there is a segment
  bool full = false;
  bool block_unindexed = false;  // some packet of the current block did not get into the index

  uint32_t max_pairs = kSegmentMaxPairs;

  // How far each array of the segment has grown.
  uint32_t flows = 0;
  uint32_t key_bytes = 0;
  uint32_t pairs = 0;
  uint32_t granules = 0;
  uint32_t blocks = 0;

  std::array<FlowKey, kBatch> keys;
  std::array<uint64_t, kBatch> hashes{};
  std::array<uint64_t, kBatch> offsets{};
};

void IndexBuilder::Impl::Begin(const SegmentMemory* new_segment, uint32_t pair_limit) {
  active = new_segment != nullptr;
  segment = active ? *new_segment : SegmentMemory{};
  full = false;
  max_pairs = std::min(pair_limit, kSegmentMaxPairs);
  flows = key_bytes = pairs = granules = blocks = 0;
  table.Start();
}

// Makes the granule of `file_offset` the last one; false if it lies outside the segment.
bool IndexBuilder::Impl::OpenGranule(uint64_t file_offset) {
  const uint64_t granule = file_offset / kGranuleBytes;
  if (granule + 1 == granules) return true;
  if (granule >= kSegmentMaxGranules || granule + 1 < granules) return false;
  while (granules <= granule) {
    segment.granule_starts[granules] = pairs;
    segment.granule_first_packet[granules] = kNoPacketInGranule;
    ++granules;
  }
  segment.granule_first_packet[granule] = static_cast<uint16_t>(file_offset % kGranuleBytes);
  return true;
}

FlowTable::Slot* IndexBuilder::Impl::AddFlow(FlowTable::Slot& slot, const FlowKey& key, uint64_t hash) {
  if (flows == kSegmentMaxFlows || key.size > kSegmentKeyHeapBytes - key_bytes) return nullptr;
  std::memcpy(segment.key_heap + key_bytes, key.bytes.data(), key.size);
  segment.flow_refs[flows] = FlowRef::Make(key.kind, key_bytes);
  table.Occupy(slot, key, hash, flows, key_bytes);
  slot.last_granule = kNoGranule;
  key_bytes += key.size;
  ++flows;
  return &slot;
}

// Adds a packet that starts in the last granule; false if a capacity is used up.
bool IndexBuilder::Impl::AddPacket(const FlowKey& key, uint64_t hash) {
  const uint32_t granule = granules - 1;
  FlowTable::Slot* slot = table.Find(key, hash, segment.key_heap);
  if (slot == nullptr) return false;
  const bool known = table.Occupied(*slot);
  if (known && slot->last_granule == granule) return true;
  if (pairs == max_pairs) return false;
  if (!known && AddFlow(*slot, key, hash) == nullptr) return false;
  slot->last_granule = granule;
  segment.pairs[pairs++] = slot->flow;
  return true;
}

void IndexBuilder::Impl::AddBatch(size_t packets) {
  for (size_t i = 0; i < packets; ++i) {
    if (!OpenGranule(offsets[i])) {
      full = block_unindexed = true;
    } else if (full || !AddPacket(keys[i], hashes[i])) {
      full = block_unindexed = true;
    }
  }
}

BlockSummary IndexBuilder::Impl::AddBlock(std::span<const uint8_t> block, uint64_t file_offset,
                                          uint32_t drops) {
  const bool indexing = active && blocks < kSegmentMaxBlocks;
  if (!indexing) {
    if (const BlockSummary* known = scout.Summary(block)) return *known;
  }
  BlockSummary summary;
  KernelBlockHeader header{};
  if (block.size() >= sizeof header) std::memcpy(&header, block.data(), sizeof header);
  const size_t first = std::max<size_t>(header.first_packet_offset, kKernelHeaderBytes);
  block_unindexed = false;

  const std::span<const uint32_t> ahead = scout.Offsets(block.data());
  size_t batch = 0;
  PacketWalk walk(block, first, block.size(), file_offset);
  while (const PacketView* packet = walk.Next()) {
    if (const size_t next = summary.packets + kPrefetchPackets; next < ahead.size()) {
      PrefetchPacket(block.data() + ahead[next]);
    } else {
      __builtin_prefetch(packet->frame.data() + kPrefetchBytes);
    }
    summary.Add(packet->time_ns, packet->frame.size());
    if (!indexing) continue;
    offsets[batch] = packet->file_offset;
    if (!full) [[likely]] {
      FrameToFlowKey(packet->frame, packet->tag, keys[batch]);
      hashes[batch] = table.Hash(keys[batch]);
      table.Prefetch(hashes[batch]);
    }
    if (++batch == kBatch) {
      AddBatch(batch);
      batch = 0;
    }
  }
  AddBatch(batch);
  if (indexing) AppendBlock(summary, block, file_offset, drops);
  return summary;
}

void IndexBuilder::Impl::AppendBlock(const BlockSummary& summary, std::span<const uint8_t> block,
                                     uint64_t file_offset, uint32_t drops) {
  LiveBlock& entry = segment.blocks[blocks++];
  entry.entry = {.file_offset = file_offset,
                 .first_ns = summary.first_ns,
                 .last_ns = summary.last_ns,
                 .packet_count = summary.packets,
                 .used_bytes = static_cast<uint32_t>(block.size()),
                 .drops = drops,
                 .flags = block_unindexed ? kBlockUnindexed : uint32_t{0}};
  entry.flow_count = flows;
  entry.key_bytes = key_bytes;
  entry.pair_count = pairs;
  entry.granule_count = granules;
  if (blocks == kSegmentMaxBlocks) full = true;
}

Result<IndexBuilder> IndexBuilder::Create() {
  STENO_TRY(FlowTable table, FlowTable::Create());
  return IndexBuilder(std::make_unique<Impl>(std::move(table)));
}

IndexBuilder::IndexBuilder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IndexBuilder::IndexBuilder(IndexBuilder&&) noexcept = default;
IndexBuilder& IndexBuilder::operator=(IndexBuilder&&) noexcept = default;
IndexBuilder::~IndexBuilder() = default;

void IndexBuilder::Begin(const SegmentMemory* segment, uint32_t max_pairs) {
  impl_->Begin(segment, max_pairs);
}

void IndexBuilder::LookAhead(std::span<const std::span<const uint8_t>> blocks) {
  impl_->scout.Walk(blocks, impl_->active ? PacketScout::Aim::kOffsets : PacketScout::Aim::kSummaries);
}

BlockSummary IndexBuilder::AddBlock(std::span<const uint8_t> block, uint64_t file_offset, uint32_t drops) {
  return impl_->AddBlock(block, file_offset, drops);
}

void IndexBuilder::Publish(uint32_t blocks) {
  if (!impl_->active) return;
  impl_->segment.header->published_blocks.store(std::min(blocks, impl_->blocks), std::memory_order_release);
}

bool IndexBuilder::full() const { return impl_->full; }
uint32_t IndexBuilder::flow_count() const { return impl_->flows; }

}  // namespace steno
