// PacketScout: finds where the packets of several blocks start, walking all the blocks at the same time.
//
// The packets of a block are a chain: each header holds the distance to the next, and each is a cache miss,
// as another core has just written it. One chain waits for one miss after the other; several chains in
// lockstep wait for all of theirs together. What is found is a hint for prefetching, no more: the walk that
// counts checks everything again. Not thread-safe. Allocates once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace steno {

class PacketScout {
 public:
  static constexpr size_t kMaxBlocks = 8;
  // Of one block; further packets are left to the walk. A default block of 60-byte frames holds 7278.
  static constexpr size_t kMaxPackets = 8192;

  PacketScout();

  // Forgets what it knew and walks `blocks`, kMaxBlocks of them at most, each kernel header first.
  void Walk(std::span<const std::span<const uint8_t>> blocks);

  // Where the packets of the block at this address start, in bytes from its beginning; empty if it was not
  // walked.
  [[nodiscard]] std::span<const uint32_t> Offsets(const uint8_t* block) const;

 private:
  struct Chain {
    const uint8_t* block = nullptr;
    size_t limit = 0;  // a header must start at or below it
    size_t at = 0;
    uint32_t packets = 0;  // found so far
    uint32_t expected = 0;
  };

  std::array<Chain, kMaxBlocks> chains_;
  size_t count_ = 0;
  std::unique_ptr<uint32_t[]> offsets_;  // [kMaxBlocks][kMaxPackets]
};

}  // namespace steno
