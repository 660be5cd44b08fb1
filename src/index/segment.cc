#include "index/segment.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/bytes.h"
#include "base/check.h"

namespace steno {
namespace {

constexpr uint64_t kPageBytes = 4096;

// Byte offsets of the arrays in a segment; each starts on its own page.
struct Layout {
  uint64_t flow_refs = AlignUp(sizeof(SegmentHeader), kPageBytes);
  uint64_t key_heap = flow_refs + AlignUp(uint64_t{kSegmentMaxFlows} * sizeof(FlowRef), kPageBytes);
  uint64_t pairs = key_heap + AlignUp(kSegmentKeyHeapBytes, kPageBytes);
  uint64_t granule_starts = pairs + AlignUp(uint64_t{kSegmentMaxPairs} * sizeof(uint32_t), kPageBytes);
  uint64_t granule_first =
      granule_starts + AlignUp(uint64_t{kSegmentMaxGranules} * sizeof(uint32_t), kPageBytes);
  uint64_t blocks = granule_first + AlignUp(uint64_t{kSegmentMaxGranules} * sizeof(uint16_t), kPageBytes);
  uint64_t end = blocks + AlignUp(uint64_t{kSegmentMaxBlocks} * sizeof(LiveBlock), kPageBytes);
};
constexpr Layout kLayout;

template <class T>
T* ArrayAt(uint8_t* base, uint64_t offset) {
  return std::launder(reinterpret_cast<T*>(base + offset));
}

// One load: the other process may change the value between two.
template <class T>
T LoadOnce(const T& from) {
  return __atomic_load_n(&from, __ATOMIC_RELAXED);
}

}  // namespace

uint64_t SegmentBytes() { return kLayout.end; }

SegmentMemory SegmentMemory::At(std::span<uint8_t> memory) {
  STENO_CHECK(memory.size() >= kLayout.end && reinterpret_cast<uintptr_t>(memory.data()) % kPageBytes == 0);
  uint8_t* base = memory.data();
  return {.header = ArrayAt<SegmentHeader>(base, 0),
          .flow_refs = ArrayAt<FlowRef>(base, kLayout.flow_refs),
          .key_heap = base + kLayout.key_heap,
          .pairs = ArrayAt<uint32_t>(base, kLayout.pairs),
          .granule_starts = ArrayAt<uint32_t>(base, kLayout.granule_starts),
          .granule_first_packet = ArrayAt<uint16_t>(base, kLayout.granule_first),
          .blocks = ArrayAt<LiveBlock>(base, kLayout.blocks)};
}

void SegmentMemory::Reset(uint64_t file_id, uint64_t file_tag, std::string_view hidden_name) const {
  // A writer that died inside Reset() left an odd number: it stays odd until this call is done.
  const uint32_t resetting = header->generation.load(std::memory_order_relaxed) | 1;
  header->generation.store(resetting, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  header->published_blocks.store(0, std::memory_order_relaxed);
  header->file_id = file_id;
  header->file_tag = file_tag;
  const size_t length = std::min(hidden_name.size(), sizeof(header->hidden_name) - 1);
  std::memset(header->hidden_name, 0, sizeof(header->hidden_name));
  hidden_name.copy(header->hidden_name, length);
  header->state.store(static_cast<uint32_t>(SegmentState::kActive), std::memory_order_relaxed);
  header->generation.store(resetting + 1, std::memory_order_release);
}

Result<SegmentSnapshot> SegmentSnapshot::Take(const SegmentMemory& segment) {
  const SegmentHeader& header = *segment.header;
  SegmentSnapshot snapshot;
  snapshot.generation = header.generation.load(std::memory_order_acquire);
  const uint32_t state = header.state.load(std::memory_order_acquire);
  if (snapshot.generation % 2 != 0 || state == static_cast<uint32_t>(SegmentState::kFree)) {
    return Fail(Error::NotFound("live index segment: it holds no file now"));
  }
  const uint32_t blocks =
      std::min(header.published_blocks.load(std::memory_order_acquire), kSegmentMaxBlocks);
  snapshot.file_id = LoadOnce(header.file_id);
  snapshot.file_tag = LoadOnce(header.file_tag);
  snapshot.hidden_name = {header.hidden_name, ::strnlen(header.hidden_name, sizeof(header.hidden_name))};
  snapshot.blocks = {segment.blocks, blocks};
  if (blocks > 0) {
    const LiveBlock& last = segment.blocks[blocks - 1];
    const uint32_t granules = std::min(LoadOnce(last.granule_count), kSegmentMaxGranules);
    snapshot.flow_refs = {segment.flow_refs, std::min(LoadOnce(last.flow_count), kSegmentMaxFlows)};
    snapshot.key_heap = {segment.key_heap, std::min(LoadOnce(last.key_bytes), kSegmentKeyHeapBytes)};
    snapshot.pairs = {segment.pairs, std::min(LoadOnce(last.pair_count), kSegmentMaxPairs)};
    snapshot.granule_starts = {segment.granule_starts, granules};
    snapshot.granule_first_packet = {segment.granule_first_packet, granules};
  }
  if (!snapshot.StillValid(segment)) {
    return Fail(Error::NotFound("live index segment: it is being reset for another file"));
  }
  return snapshot;
}

bool SegmentSnapshot::StillValid(const SegmentMemory& segment) const {
  std::atomic_thread_fence(std::memory_order_acquire);
  return segment.header->generation.load(std::memory_order_relaxed) == generation;
}

double SegmentSnapshot::Fill() const {
  const auto part = [](size_t used, size_t capacity) {
    return static_cast<double>(used) / static_cast<double>(capacity);
  };
  return std::max({part(flow_refs.size(), kSegmentMaxFlows), part(key_heap.size(), kSegmentKeyHeapBytes),
                   part(pairs.size(), kSegmentMaxPairs), part(granule_starts.size(), kSegmentMaxGranules),
                   part(blocks.size(), kSegmentMaxBlocks)});
}

bool SegmentSnapshot::CopyKey(uint32_t flow, FlowKey& out) const {
  const FlowRef ref{LoadOnce(flow_refs[flow].packed)};
  const uint64_t at = ref.heap_offset();
  if (at >= key_heap.size()) return false;
  out.kind = ref.kind();
  const size_t available =
      std::min<size_t>(key_heap.size() - at, out.kind == FlowKind::kV4   ? kV4FlowKeyBytes
                                             : out.kind == FlowKind::kV6 ? kV6FlowKeyBytes
                                                                         : kMaxFlowKeyBytes);
  std::memcpy(out.bytes.data(), key_heap.data() + at, available);
  out.size = static_cast<uint8_t>(FlowKeySize(out.kind, {out.bytes.data(), available}));
  return out.size != 0;
}

}  // namespace steno
