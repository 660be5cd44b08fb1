#include "index/packet_scout.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/bytes.h"
#include "packet/flow_key_fast.h"
#include "storage/block_format.h"

namespace steno {
namespace {

constexpr size_t kCacheLine = 64;
// A packet's header with the address behind it; and its frame's headers, too.
constexpr size_t kHeaderBytes = 2 * kCacheLine;
constexpr size_t kPacketBytes = 3 * kCacheLine;
// How far ahead a single chain fetches what it will probably need.
constexpr size_t kAloneBytes = 2048;

template <PacketScout::Aim kAim>
inline void Prefetch(const PacketWalk& walk) {
  constexpr size_t kBytes = kAim == PacketScout::Aim::kPackets ? kPacketBytes : kHeaderBytes;
  for (size_t at = 0; at < kBytes; at += kCacheLine) __builtin_prefetch(walk.Ahead(at));
}

}  // namespace

Result<PacketScout> PacketScout::Create() {
  PacketScout scout;
  const size_t bytes = AlignUp(scout.chains_.size() * kBlockMemory, Mapping::kHugePageBytes);
  STENO_TRY(scout.memory_, Mapping::AnonymousHuge(bytes));
  scout.memory_.TakePages();
  for (size_t i = 0; i < scout.chains_.size(); ++i)
    scout.chains_[i].memory_ = scout.memory_.data() + i * kBlockMemory;
  return scout;
}

void PacketScout::Begin(Chain& chain, std::span<const uint8_t> block, Aim aim) {
  KernelBlockHeader header{};
  if (block.size() >= sizeof header) std::memcpy(&header, block.data(), sizeof header);
  const size_t first = std::max<size_t>(header.first_packet_offset, kKernelHeaderBytes);
  chain.walk_ = PacketWalk(block, first, block.size(), 0);
  chain.block_ = block;
  chain.aim_ = aim;
  chain.used_ = 0;
  chain.summary_ = {};
}

// Takes the chain's next packet; false if there is none, or no memory for it.
template <PacketScout::Aim kAim>
inline bool PacketScout::Step(Chain& chain) {
  PacketView packet;
  chain.more_ = chain.walk_.Next(packet);
  if (!chain.more_) return false;
  chain.summary_.Add(packet.time_ns, packet.frame.size());
  if constexpr (kAim == Aim::kPackets) {
    auto* const scouted = new (chain.memory_ + chain.used_) ScoutedPacket;
    scouted->offset = static_cast<uint32_t>(packet.file_offset);
    flow_key::FromFrame(packet.frame, packet.tag, scouted->key);
    chain.used_ += scouted->stored_bytes();
    return chain.used_ <= kBlockMemory - sizeof(ScoutedPacket);
  }
  return true;
}

template <PacketScout::Aim kAim>
void PacketScout::WalkTogether(std::span<const std::span<const uint8_t>> blocks) {
  std::array<Chain*, kMaxBlocks> running{};
  size_t run = 0;
  for (size_t i = 0; i < count_; ++i) {
    Begin(chains_[i], blocks[i], kAim);
    Prefetch<kAim>(chains_[i].walk_);
    running[run++] = &chains_[i];
  }
  while (run > 0) {
    for (size_t slot = 0; slot < run;) {
      if (Step<kAim>(*running[slot])) {
        Prefetch<kAim>(running[slot]->walk_);
        ++slot;
      } else {
        running[slot] = running[--run];
      }
    }
  }
}

// Where nothing runs beside the chain, the next packets' places can only be guessed.
void PacketScout::WalkAlone(Chain& chain) {
  if (chain.aim_ == Aim::kPackets) {
    while (Step<Aim::kPackets>(chain)) __builtin_prefetch(chain.walk_.Ahead(kAloneBytes));
  } else {
    while (Step<Aim::kSummary>(chain)) __builtin_prefetch(chain.walk_.Ahead(kAloneBytes));
  }
}

void PacketScout::Walk(std::span<const std::span<const uint8_t>> blocks, Aim aim) {
  count_ = std::min(blocks.size(), kMaxBlocks);
  if (aim == Aim::kPackets) {
    WalkTogether<Aim::kPackets>(blocks);
  } else {
    WalkTogether<Aim::kSummary>(blocks);
  }
}

PacketScout::Chain& PacketScout::Take(std::span<const uint8_t> block, Aim aim) {
  for (size_t i = 0; i < count_; ++i) {
    Chain& chain = chains_[i];
    if (chain.block_.data() != block.data() || chain.block_.size() != block.size()) continue;
    chain.block_ = {};
    if (chain.aim_ >= aim) return chain;
  }
  Chain& chain = chains_.back();
  Begin(chain, block, aim);
  WalkAlone(chain);
  return chain;
}

bool PacketScout::Next(Chain& chain) {
  if (!chain.more_) return false;
  chain.used_ = 0;
  WalkAlone(chain);
  return chain.used_ > 0;
}

}  // namespace steno
