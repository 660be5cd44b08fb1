#include "index/packet_scout.h"

#include <linux/if_packet.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/clock.h"
#include "storage/block_format.h"

namespace steno {

PacketScout::PacketScout() : offsets_(std::make_unique<uint32_t[]>(kMaxBlocks * kMaxPackets)) {}

// False if the block has no packet to look at.
bool PacketScout::Begin(Chain& chain, std::span<const uint8_t> block, uint32_t most) {
  chain = {.block = block.data(), .bytes = block.size()};
  if (block.size() < kFirstPacketOffset + sizeof(tpacket3_hdr)) return false;
  KernelBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  chain.at = header.first_packet_offset;
  chain.expected = std::min<uint32_t>(header.packet_count, most);
  return chain.at <= block.size() - sizeof(tpacket3_hdr) && chain.expected > 0;
}

// Goes to the next packet, after `found` of the block; false at the end.
bool PacketScout::Advance(Chain& chain, uint32_t next, uint32_t found) {
  chain.at += next;
  return next != 0 && chain.at <= chain.bytes - sizeof(tpacket3_hdr) && found != chain.expected;
}

// Notes where the chain's packet is.
bool PacketScout::Step(Chain& chain, uint32_t* offsets) {
  offsets[chain.packets++] = static_cast<uint32_t>(chain.at);
  const auto next = LoadLe<uint32_t>(chain.block + chain.at + offsetof(tpacket3_hdr, tp_next_offset));
  return Advance(chain, next, chain.packets);
}

// Adds the chain's packet to the summary.
bool PacketScout::StepSummary(Chain& chain) {
  const uint8_t* const packet = chain.block + chain.at;
  const auto next = LoadLe<uint32_t>(packet + offsetof(tpacket3_hdr, tp_next_offset));
  const auto captured = LoadLe<uint32_t>(packet + offsetof(tpacket3_hdr, tp_snaplen));
  if (captured > (next != 0 ? next : chain.bytes - chain.at)) return false;
  chain.summary.Add(int64_t{LoadLe<uint32_t>(packet + offsetof(tpacket3_hdr, tp_sec))} * kNsPerSecond +
                        LoadLe<uint32_t>(packet + offsetof(tpacket3_hdr, tp_nsec)),
                    captured);
  chain.complete = next == 0 && chain.summary.packets == chain.expected;
  return Advance(chain, next, chain.summary.packets);
}

void PacketScout::Walk(std::span<const std::span<const uint8_t>> blocks, Aim aim) {
  count_ = std::min(blocks.size(), kMaxBlocks);
  const bool summaries = aim == Aim::kSummaries;
  std::array<size_t, kMaxBlocks> running{};
  size_t run = 0;
  for (size_t i = 0; i < count_; ++i) {
    if (!Begin(chains_[i], blocks[i], summaries ? UINT32_MAX : kMaxPackets)) continue;
    __builtin_prefetch(chains_[i].block + chains_[i].at);
    running[run++] = i;
  }
  while (run > 0) {
    for (size_t slot = 0; slot < run;) {
      const size_t i = running[slot];
      Chain& chain = chains_[i];
      if (summaries ? StepSummary(chain) : Step(chain, offsets_.get() + i * kMaxPackets)) {
        __builtin_prefetch(chain.block + chain.at);
        ++slot;
      } else {
        running[slot] = running[--run];
      }
    }
  }
}

std::span<const uint32_t> PacketScout::Offsets(const uint8_t* block) const {
  for (size_t i = 0; i < count_; ++i) {
    if (chains_[i].block == block) return {offsets_.get() + i * kMaxPackets, chains_[i].packets};
  }
  return {};
}

const BlockSummary* PacketScout::Summary(std::span<const uint8_t> block) const {
  for (size_t i = 0; i < count_; ++i) {
    const Chain& chain = chains_[i];
    if (chain.block == block.data() && chain.bytes == block.size()) {
      return chain.complete ? &chain.summary : nullptr;
    }
  }
  return nullptr;
}

}  // namespace steno
