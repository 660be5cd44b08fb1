// PacketScout: finds where the packets of several blocks start, walking all the blocks at the same time.
//
// The packets of a block are a chain: each header holds the distance to the next, and each is a cache miss,
// as another core has just written it. One chain waits for one miss after the other; several chains in
// lockstep wait for all of theirs together. Where packets start is a hint for prefetching, no more: the walk
// that counts checks everything again. Where nothing but a block's summary is asked for, that is made on the
// way, from the one cache line that has been waited for. Not thread-safe. Allocates once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "index/block_summary.h"

namespace steno {

class PacketScout {
 public:
  static constexpr size_t kMaxBlocks = 24;
  // Of one block; further packets are left to the walk. A default block of 60-byte frames holds 7278.
  static constexpr size_t kMaxPackets = 8192;

  PacketScout();

  enum class Aim : uint8_t { kOffsets, kSummaries };

  // Forgets what it knew and walks `blocks`, kMaxBlocks of them at most, each kernel header first.
  void Walk(std::span<const std::span<const uint8_t>> blocks, Aim aim);

  // Where the packets of the block at this address start, in bytes from its beginning; empty if it was not
  // walked.
  [[nodiscard]] std::span<const uint32_t> Offsets(const uint8_t* block) const;

  // Of this block; null if it was not walked for that, or not to its last packet, or has a length that cannot
  // be.
  [[nodiscard]] const BlockSummary* Summary(std::span<const uint8_t> block) const;

 private:
  struct Chain {
    const uint8_t* block = nullptr;
    size_t bytes = 0;
    size_t at = 0;
    uint32_t packets = 0;  // found so far
    uint32_t expected = 0;
    bool complete = false;  // the summary is the block's
    BlockSummary summary{};
  };

  static bool Begin(Chain& chain, std::span<const uint8_t> block, uint32_t most);
  static bool Advance(Chain& chain, uint32_t next, uint32_t found);
  static bool Step(Chain& chain, uint32_t* offsets);
  static bool StepSummary(Chain& chain);

  std::array<Chain, kMaxBlocks> chains_;
  size_t count_ = 0;
  std::unique_ptr<uint32_t[]> offsets_;  // [kMaxBlocks][kMaxPackets]
};

}  // namespace steno
