#include "index/packet_scout.h"

#include <linux/if_packet.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "storage/block_format.h"

namespace steno {

PacketScout::PacketScout() : offsets_(std::make_unique<uint32_t[]>(kMaxBlocks * kMaxPackets)) {}

void PacketScout::Walk(std::span<const std::span<const uint8_t>> blocks) {
  count_ = std::min(blocks.size(), kMaxBlocks);
  std::array<size_t, kMaxBlocks> running{};
  size_t run = 0;
  for (size_t i = 0; i < count_; ++i) {
    const std::span<const uint8_t> block = blocks[i];
    Chain& chain = chains_[i];
    chain = {.block = block.data()};
    if (block.size() < kFirstPacketOffset + sizeof(tpacket3_hdr)) continue;
    KernelBlockHeader header;
    std::memcpy(&header, block.data(), sizeof header);
    chain.limit = block.size() - sizeof(tpacket3_hdr);
    chain.at = header.first_packet_offset;
    chain.expected = std::min<uint32_t>(header.packet_count, kMaxPackets);
    if (chain.at > chain.limit || chain.expected == 0) continue;
    __builtin_prefetch(chain.block + chain.at);
    running[run++] = i;
  }
  while (run > 0) {
    for (size_t slot = 0; slot < run;) {
      Chain& chain = chains_[running[slot]];
      offsets_[running[slot] * kMaxPackets + chain.packets++] = static_cast<uint32_t>(chain.at);
      const auto next = LoadLe<uint32_t>(chain.block + chain.at + offsetof(tpacket3_hdr, tp_next_offset));
      chain.at += next;
      if (next == 0 || chain.at > chain.limit || chain.packets == chain.expected) {
        running[slot] = running[--run];
        continue;
      }
      __builtin_prefetch(chain.block + chain.at);
      ++slot;
    }
  }
}

std::span<const uint32_t> PacketScout::Offsets(const uint8_t* block) const {
  for (size_t i = 0; i < count_; ++i) {
    if (chains_[i].block == block) return {offsets_.get() + i * kMaxPackets, chains_[i].packets};
  }
  return {};
}

}  // namespace steno
