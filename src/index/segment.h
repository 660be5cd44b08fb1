// Segment: the flow index of one packet file in memory, while it is built (live), sealed, or read by another
// process.
//
// One contiguous piece of memory with fixed capacities, in a shared arena or in private memory:
//   SegmentHeader | flow_refs | key_heap | granule_flows | granule_starts | granule_first_packet | blocks
// One writer (the capture thread) appends; any number of readers, in this or another process, see a
// consistent prefix: everything that `published_blocks` covers, counted by that block's LiveBlock. All arrays
// are append-only until the segment is reset for another file, which `generation` tells.
//
// Capacities cap memory: when one is reached the builder says so and the file is rotated early. Numbers: 512
// k flows, 20 MiB of keys, 2.5 M (flow, granule) pairs, 32 k blocks, 4 GiB of file = at most 35.3 MiB per
// segment, touched as used. Two segments, the builder's table (16 MiB) and what sealing takes
// (index/sealer.h) stay below 128 MiB per capture thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "packet/flow_key.h"
#include "storage/block_format.h"

namespace steno {

inline constexpr uint32_t kSegmentMaxFlows = 512 * 1024;
inline constexpr uint32_t kSegmentKeyHeapBytes = 16 << 20;
inline constexpr uint32_t kSegmentMaxPairs = 5 << 19;
inline constexpr uint32_t kSegmentMaxGranules = static_cast<uint32_t>(kMaxFileBytes / kGranuleBytes);
inline constexpr uint32_t kSegmentMaxBlocks = 32 * 1024;

inline constexpr uint16_t kNoPacketInGranule = 0xffff;

// A flow: where its key starts in the heap, in units of 8 bytes, and the key's kind. Keys follow each other
// without gaps: their sizes are multiples of 8, and the size of a kGeneral key follows from its content
// (FlowKeySize()).
struct FlowRef {
  uint32_t packed;  // kind in the upper 2 bits
  static FlowRef Make(FlowKind kind, uint32_t heap_offset) {
    return {static_cast<uint32_t>(kind) << 30 | heap_offset / 8};
  }
  [[nodiscard]] FlowKind kind() const { return static_cast<FlowKind>(packed >> 30); }
  [[nodiscard]] uint32_t heap_offset() const { return (packed & 0x3fffffffu) * 8; }
};
static_assert(sizeof(FlowRef) == 4);

// A block of the file and how far each array had grown when it was added.
struct LiveBlock {
  BlockEntry entry;
  uint32_t flow_count;
  uint32_t key_bytes;
  uint32_t pair_count;
  uint32_t granule_count;
};
static_assert(sizeof(LiveBlock) == 56);

enum class SegmentState : uint32_t {
  kFree = 0,
  kActive = 1,   // its file is being written
  kSealing = 2,  // its file is complete; the sealed index is being written
};

struct alignas(64) SegmentHeader {
  std::atomic<uint32_t> state;             // SegmentState
  std::atomic<uint32_t> generation;        // odd while being reset; +2 per file
  std::atomic<uint32_t> published_blocks;  // blocks whose write has completed, contiguous from the start
  uint32_t reserved0;
  uint64_t file_id;
  uint64_t file_tag;
  char hidden_name[40];  // of the packet file in its directory, NUL-terminated; it may have its final name by
                         // now
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// Bytes of memory that one segment takes (page aligned).
uint64_t SegmentBytes();

// Pointers into a segment's memory. Writable for its builder; readers go through SegmentSnapshot.
struct SegmentMemory {
  SegmentHeader* header = nullptr;
  FlowRef* flow_refs = nullptr;              // [kSegmentMaxFlows]
  uint8_t* key_heap = nullptr;               // [kSegmentKeyHeapBytes]
  uint32_t* pairs = nullptr;                 // [kSegmentMaxPairs] flow ids, grouped by granule in file order
  uint32_t* granule_starts = nullptr;        // [kSegmentMaxGranules] index in `pairs` where a granule begins
  uint16_t* granule_first_packet = nullptr;  // [kSegmentMaxGranules] or kNoPacketInGranule
  LiveBlock* blocks = nullptr;               // [kSegmentMaxBlocks]

  // REQUIRES: memory.size() >= SegmentBytes(), page aligned.
  static SegmentMemory At(std::span<uint8_t> memory);

  // Writer: begins a new file. Readers of the old content notice by `generation`.
  void Reset(uint64_t file_id, uint64_t file_tag, std::string_view hidden_name) const;
};

// A consistent prefix of a segment, as plain read-only spans with checked sizes. What is inside (offsets,
// flow ids) is still untrusted when it comes from another process.
struct SegmentSnapshot {
  uint32_t generation = 0;
  uint64_t file_id = 0;
  uint64_t file_tag = 0;
  std::string_view hidden_name;  // points into the segment
  std::span<const FlowRef> flow_refs;
  std::span<const uint8_t> key_heap;
  std::span<const uint32_t> pairs;
  std::span<const uint32_t> granule_starts;
  std::span<const uint16_t> granule_first_packet;
  std::span<const LiveBlock> blocks;

  // Everything up to the last published block; kNotFound if the segment is free or being reset.
  static Result<SegmentSnapshot> Take(const SegmentMemory& segment);
  // True while the spans still show the same file: check after use.
  [[nodiscard]] bool StillValid(const SegmentMemory& segment) const;

  // How much of the capacity that is closest to its end is used: 0..1.
  [[nodiscard]] double Fill() const;

  // Copies the key of a flow, so that a writer cannot change it under a parser; false if it does not lie
  // inside the snapshot. REQUIRES: flow < flow_refs.size().
  [[nodiscard]] bool CopyKey(uint32_t flow, FlowKey& out) const;
};

}  // namespace steno
