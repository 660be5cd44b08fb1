// BlockFiller: lays packets into a block as the kernel lays them into a block of a TPACKET_V3 ring: for
// packets that come from elsewhere.
//
// Sources of the layout: Linux net/packet/af_packet.c (tpacket_rcv, prb_fill_curr_block),
// <linux/if_packet.h>; measured on the ring of a veth pair: an Ethernet frame starts 82 bytes behind its
// header, so that its network header is aligned to 16; the next header is aligned to 8. One owner thread.
// Borrows the memory.
#pragma once

#include <cstdint>
#include <span>

#include "capture/ring_block.h"
#include "storage/block_format.h"

namespace steno {

struct PacketToFill {
  uint32_t seconds = 0;
  uint32_t nanoseconds = 0;
  uint32_t original_bytes = 0;
  uint32_t interface_index = 0;
  std::span<const uint8_t> frame;
};

class BlockFiller {
 public:
  static constexpr uint32_t kNetworkOffset = 96;

  // The longest frame that a block of `block_bytes` has room for.
  static constexpr uint32_t MaxFrame(uint32_t block_bytes) {
    return block_bytes - kFirstPacketOffset - kFrameOffset;
  }

  // Starts a block. Its status word is left alone, here and below. `now_ns`: wall clock.
  void Begin(std::span<uint8_t> block, uint64_t sequence, int64_t now_ns);
  // Appends a packet; false if the block is too full for it. REQUIRES: begun, frame <= MaxFrame().
  bool Add(const PacketToFill& packet);
  // Completes the block's header; the block can be handed over. REQUIRES: !empty().
  void Finish();

  // True outside of Begin() ... Finish().
  [[nodiscard]] bool idle() const { return block_.empty(); }
  [[nodiscard]] bool empty() const { return packets_ == 0; }

 private:
  std::span<uint8_t> block_;
  KernelBlockHeader header_{};
  uint32_t used_ = 0;
  uint32_t last_ = 0;  // offset of the last packet
  uint32_t packets_ = 0;
};

}  // namespace steno
