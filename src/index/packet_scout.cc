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

// Of a chain's memory. The odd line keeps what the chains write at the same time out of the same cache sets.
constexpr size_t kRecentBytes = AlignUp(sizeof(RecentFlows), kCacheLine);
constexpr size_t kChainBytes = kRecentBytes + PacketScout::kBlockMemory + kCacheLine;

template <PacketScout::Aim kAim>
inline void Prefetch(const PacketWalk& walk) {
  constexpr size_t kBytes = kAim == PacketScout::Aim::kPackets ? kPacketBytes : kHeaderBytes;
  for (size_t at = 0; at < kBytes; at += kCacheLine) __builtin_prefetch(walk.Ahead(at));
}

}  // namespace

Result<PacketScout> PacketScout::Create() {
  PacketScout scout;
  const size_t bytes = AlignUp(scout.chains_.size() * kChainBytes, Mapping::kHugePageBytes);
  STENO_TRY(scout.memory_, Mapping::AnonymousHuge(bytes));
  scout.memory_.TakePages();
  for (size_t i = 0; i < scout.chains_.size(); ++i) {
    uint8_t* const memory = scout.memory_.data() + i * kChainBytes;
    scout.chains_[i].recent_ = new (memory) RecentFlows;
    scout.chains_[i].memory_ = memory + kRecentBytes;
  }
  return scout;
}

void PacketScout::Begin(Chain& chain, std::span<const uint8_t> block, uint64_t file_offset, Aim aim) {
  KernelBlockHeader header{};
  if (block.size() >= sizeof header) std::memcpy(&header, block.data(), sizeof header);
  const size_t first = std::max<size_t>(header.first_packet_offset, kKernelHeaderBytes);
  chain.walk_ = PacketWalk(block, first, block.size(), 0);
  chain.block_ = block;
  chain.aim_ = aim;
  chain.phase_ = static_cast<uint32_t>(file_offset % kGranuleBytes);
  chain.used_ = 0;
  chain.summary_ = {};
  if (aim == Aim::kPackets) chain.recent_->Forget();
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
    const auto granule = static_cast<uint32_t>((chain.phase_ + packet.file_offset) / kGranuleBytes);
    chain.used_ += chain.recent_->Note(scouted->key, granule + 1) ? 0 : scouted->stored_bytes();
    return chain.used_ <= kBlockMemory - sizeof(ScoutedPacket);
  }
  return true;
}

template <PacketScout::Aim kAim>
void PacketScout::WalkTogether() {
  std::array<Chain*, kMaxBlocks> running{};
  size_t run = 0;
  for (size_t i = 0; i < count_; ++i) {
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

void PacketScout::Walk(std::span<const std::span<const uint8_t>> blocks, uint64_t file_offset, Aim aim) {
  count_ = std::min(blocks.size(), kMaxBlocks);
  for (size_t i = 0; i < count_; ++i) {
    Begin(chains_[i], blocks[i], file_offset, aim);
    file_offset += AlignUp(blocks[i].size(), kDiskAlignment);
  }
  if (aim == Aim::kPackets) {
    WalkTogether<Aim::kPackets>();
  } else {
    WalkTogether<Aim::kSummary>();
  }
}

PacketScout::Chain& PacketScout::Take(std::span<const uint8_t> block, uint64_t file_offset, Aim aim) {
  const auto suits = [&](const Chain& chain) {
    return chain.aim_ >= aim && (aim == Aim::kSummary || chain.phase_ == file_offset % kGranuleBytes);
  };
  for (size_t i = 0; i < count_; ++i) {
    Chain& chain = chains_[i];
    if (chain.block_.data() != block.data() || chain.block_.size() != block.size()) continue;
    chain.block_ = {};
    if (suits(chain)) return chain;
  }
  Chain& chain = chains_.back();
  Begin(chain, block, file_offset, aim);
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
