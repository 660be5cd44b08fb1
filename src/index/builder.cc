#include "index/builder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "index/flow_table.h"
#include "index/packet_scout.h"
#include "index/recent_flows.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

// How many packets before its turn a packet's entry of the flow table is fetched, and then its flow: enough
// to hide a cache miss each.
constexpr size_t kPrefetchPackets = 16;
constexpr size_t kPrefetchFlows = 8;

}  // namespace

struct IndexBuilder::Impl {
  Impl(FlowTable flow_table, PacketScout packet_scout)
      : table(std::move(flow_table)), scout(std::move(packet_scout)) {}

  void Begin(const SegmentMemory* new_segment, uint32_t pair_limit);
  BlockSummary AddBlock(std::span<const uint8_t> block, uint64_t file_offset, uint32_t drops);
  void AddPackets(std::span<const uint8_t> packets, uint64_t block_offset);
  void AddOrFill(const ScoutedPacket& packet, uint64_t hash, uint64_t block_offset);
  bool OpenGranule(uint64_t file_offset);
  bool AddPacket(const FlowKey& key, uint64_t hash);
  FlowTable::Flow* AddFlow(FlowTable::Entry& entry, const FlowKey& key, uint64_t hash);
  void AppendBlock(const BlockSummary& summary, std::span<const uint8_t> block, uint64_t file_offset,
                   uint32_t drops);

  FlowTable table;
  PacketScout scout;
  RecentFlows recent;
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
};

void IndexBuilder::Impl::Begin(const SegmentMemory* new_segment, uint32_t pair_limit) {
  active = new_segment != nullptr;
  segment = active ? *new_segment : SegmentMemory{};
  full = false;
  max_pairs = std::min(pair_limit, kSegmentMaxPairs);
  flows = key_bytes = pairs = granules = blocks = 0;
  table.Start();
  recent.Forget();
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

FlowTable::Flow* IndexBuilder::Impl::AddFlow(FlowTable::Entry& entry, const FlowKey& key, uint64_t hash) {
  if (flows == kSegmentMaxFlows || key.size > kSegmentKeyHeapBytes - key_bytes) return nullptr;
  std::memcpy(segment.key_heap + key_bytes, key.bytes.data(), key.size);
  segment.flow_refs[flows] = FlowRef::Make(key.kind, key_bytes);
  FlowTable::Flow& flow = table.Add(entry, key, hash, flows, key_bytes);
  key_bytes += key.size;
  ++flows;
  return &flow;
}

// Adds a packet that starts in the last granule; false if a capacity is used up.
bool IndexBuilder::Impl::AddPacket(const FlowKey& key, uint64_t hash) {
  const uint32_t granule = granules - 1;
  FlowTable::Entry* const entry = table.Find(key, hash, segment.key_heap);
  if (entry == nullptr) return false;
  FlowTable::Flow* flow = *entry != 0 ? &table.At(FlowTable::NumberOf(*entry)) : nullptr;
  if (flow != nullptr && flow->last_granule == granule) return true;
  if (pairs == max_pairs) return false;
  if (flow == nullptr) flow = AddFlow(*entry, key, hash);
  if (flow == nullptr) return false;
  flow->last_granule = granule;
  segment.pairs[pairs++] = FlowTable::NumberOf(*entry);
  return true;
}

void IndexBuilder::Impl::AddOrFill(const ScoutedPacket& packet, uint64_t hash, uint64_t block_offset) {
  if (!OpenGranule(block_offset + packet.offset) || full || !AddPacket(packet.key, hash))
    full = block_unindexed = true;
}

// `packets`: ScoutedPackets of the block at `block_offset`.
void IndexBuilder::Impl::AddPackets(std::span<const uint8_t> packets, uint64_t block_offset) {
  struct Ahead {
    const ScoutedPacket* packet;
    uint64_t hash;
  };
  std::array<Ahead, kPrefetchPackets> ahead;
  size_t count = 0;
  for (size_t at = 0; at < packets.size();) {
    const ScoutedPacket& packet = ScoutedPacket::At(packets.data() + at);
    at += packet.stored_bytes();
    const uint64_t hash = table.Hash(packet.key);
    const auto granule = static_cast<uint32_t>((block_offset + packet.offset) / kGranuleBytes);
    if (recent.Note(packet.key, hash, granule)) continue;
    table.Prefetch(hash);
    Ahead& slot = ahead[count % ahead.size()];
    if (count >= ahead.size()) AddOrFill(*slot.packet, slot.hash, block_offset);
    slot = {&packet, hash};
    if (count >= kPrefetchFlows) table.PrefetchFlow(ahead[(count - kPrefetchFlows) % ahead.size()].hash);
    ++count;
  }
  for (size_t i = count - std::min(count, ahead.size()); i < count; ++i)
    AddOrFill(*ahead[i % ahead.size()].packet, ahead[i % ahead.size()].hash, block_offset);
}

BlockSummary IndexBuilder::Impl::AddBlock(std::span<const uint8_t> block, uint64_t file_offset,
                                          uint32_t drops) {
  const bool indexing = active && blocks < kSegmentMaxBlocks;
  block_unindexed = false;
  PacketScout::Chain& found =
      scout.Take(block, indexing ? PacketScout::Aim::kPackets : PacketScout::Aim::kSummary);
  do {
    if (indexing) AddPackets(found.packets(), file_offset);
  } while (scout.Next(found));
  if (indexing) AppendBlock(found.summary(), block, file_offset, drops);
  return found.summary();
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
  STENO_TRY(PacketScout scout, PacketScout::Create());
  return IndexBuilder(std::make_unique<Impl>(std::move(table), std::move(scout)));
}

IndexBuilder::IndexBuilder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IndexBuilder::IndexBuilder(IndexBuilder&&) noexcept = default;
IndexBuilder& IndexBuilder::operator=(IndexBuilder&&) noexcept = default;
IndexBuilder::~IndexBuilder() = default;

void IndexBuilder::Begin(const SegmentMemory* segment, uint32_t max_pairs) {
  impl_->Begin(segment, max_pairs);
}

void IndexBuilder::LookAhead(std::span<const std::span<const uint8_t>> blocks) {
  impl_->scout.Walk(blocks, impl_->active ? PacketScout::Aim::kPackets : PacketScout::Aim::kSummary);
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
