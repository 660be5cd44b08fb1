// IndexBuilder: adds packets to a segment, one ring block at a time, on the capture thread.
//
// Not thread-safe. Allocates its flow hash table once (1 M entries, 512 k flows, 16 MiB); after that nothing.
// The hash is seeded at random, so that traffic cannot be made to collide.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "index/block_summary.h"
#include "index/segment.h"
#include "storage/packet_view.h"

namespace steno {

class IndexBuilder {
 public:
  static Result<IndexBuilder> Create();
  IndexBuilder(IndexBuilder&&) noexcept;
  IndexBuilder& operator=(IndexBuilder&&) noexcept;
  ~IndexBuilder();

  // Starts on a segment that Reset() has just prepared. Null: no index for this file (AddBlock then only
  // summarises). `max_pairs`: it is full with so many pairs of flow and granule.
  void Begin(const SegmentMemory* segment, uint32_t max_pairs = kSegmentMaxPairs);

  // Walks the packets of `block` (kernel header first, used_bytes long), which will be written at
  // `file_offset`, and adds them. The block counts for readers only after Publish(). `drops`: lost before
  // this block.
  BlockSummary AddBlock(std::span<const uint8_t> block, uint64_t file_offset, uint32_t drops);

  // Announces blocks, PacketScout::kMaxBlocks at most, that AddBlock() will get next: it is then faster.
  // Their memory must not change until then.
  void LookAhead(std::span<const std::span<const uint8_t>> blocks);

  // Readers may now see the first `blocks` blocks: their writes have completed.
  void Publish(uint32_t blocks);

  // A capacity was reached: rotate now. The rest of that block and blocks added after it are marked
  // unindexed; blocks beyond kSegmentMaxBlocks are only summarised.
  [[nodiscard]] bool full() const;
  [[nodiscard]] uint32_t flow_count() const;

 private:
  struct Impl;
  explicit IndexBuilder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
