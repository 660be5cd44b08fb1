// PacketScout: walks the packets of several blocks at the same time, and notes the flow key of each.
//
// The packets of a block are a chain: each header holds the distance to the next, and each is a cache miss,
// as another core has just written it. One chain waits for one miss after the other; several chains in
// lockstep wait for all of theirs together. What the index needs of a packet is taken on the way, while its
// cache lines are at hand: they would have to be fetched again later. Not thread-safe. Allocates
// once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/mapping.h"
#include "base/result.h"
#include "index/block_summary.h"
#include "packet/flow_key.h"
#include "storage/packet_view.h"

namespace steno {

// A packet as the index sees it. Of the key only the bytes in use are there; behind them is the next packet.
struct ScoutedPacket {
  uint32_t offset = 0;  // of its header in the block
  FlowKey key;

  static const ScoutedPacket& At(const uint8_t* memory) {
    return *reinterpret_cast<const ScoutedPacket*>(memory);
  }
  [[nodiscard]] size_t stored_bytes() const { return sizeof(ScoutedPacket) - kMaxFlowKeyBytes + key.size; }
};
static_assert(sizeof(ScoutedPacket) == 8 + kMaxFlowKeyBytes && alignof(ScoutedPacket) == 4);

class PacketScout {
 public:
  static constexpr size_t kMaxBlocks = 12;
  // For the packets of one block at a time: 10,900 with an IPv4 key. A default block of 60-byte frames has
  // 7278.
  static constexpr size_t kBlockMemory = 256 * 1024;

  enum class Aim : uint8_t {
    kSummary,
    kPackets,  // that, and what the index needs of each packet
  };

  // What has been found in a block.
  class Chain {
   public:
    // Of all packets so far.
    [[nodiscard]] const BlockSummary& summary() const { return summary_; }
    // ScoutedPackets, one after the other: all, or the next that fit into memory.
    [[nodiscard]] std::span<const uint8_t> packets() const { return {memory_, used_}; }

   private:
    friend class PacketScout;
    PacketWalk walk_{{}, 0, 0, 0};
    std::span<const uint8_t> block_;  // empty: what is here is nobody's
    Aim aim_ = Aim::kSummary;
    bool more_ = false;
    uint8_t* memory_ = nullptr;
    size_t used_ = 0;
    BlockSummary summary_;
  };

  static Result<PacketScout> Create();

  // Forgets what it knew and walks `blocks`, kMaxBlocks of them at most, each kernel header first.
  void Walk(std::span<const std::span<const uint8_t>> blocks, Aim aim);

  // What is known of this block, which Walk() has seen and nobody has taken yet, or which is walked now,
  // alone. Good until the next call of Walk() or Take().
  Chain& Take(std::span<const uint8_t> block, Aim aim);

  // Goes on to the packets that did not fit; false if there are none.
  bool Next(Chain& chain);

 private:
  PacketScout() = default;
  static void Begin(Chain& chain, std::span<const uint8_t> block, Aim aim);
  template <Aim kAim>
  static bool Step(Chain& chain);
  template <Aim kAim>
  void WalkTogether(std::span<const std::span<const uint8_t>> blocks);
  static void WalkAlone(Chain& chain);

  Mapping memory_;
  std::array<Chain, kMaxBlocks + 1> chains_;  // the last one is for a block that was not announced
  size_t count_ = 0;
};

}  // namespace steno
