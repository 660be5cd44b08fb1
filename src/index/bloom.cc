#include "index/bloom.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace steno {
namespace {

constexpr unsigned kLanes = 8;
constexpr std::array<uint32_t, kLanes> kLaneFactors = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
                                                       0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

uint32_t LaneBit(uint64_t hash, unsigned lane) {
  return 1u << (static_cast<uint32_t>(hash) * kLaneFactors[lane] >> 27);
}

}  // namespace

BloomFilter::BloomFilter(uint32_t addresses) {
  constexpr uint32_t kBlockBits = 8 * kBloomBlockBytes;
  if (addresses == 0) return;
  blocks_ = static_cast<uint32_t>(uint64_t{addresses} * kBloomBitsPerAddress / kBlockBits + 1);
  filter_.resize(size_t{blocks_} * kBloomBlockBytes);
}

void BloomFilter::Add(uint64_t hash) {
  uint64_t& pending = pending_[added_ % kPending];
  if (added_ >= kPending) Set(pending);
  pending = hash;
  ++added_;
  __builtin_prefetch(filter_.data() + size_t{BloomBlock(hash, blocks_)} * kBloomBlockBytes, 1);
}

std::span<const uint8_t> BloomFilter::Finish() {
  for (size_t i = 0; i < std::min(added_, kPending); ++i) Set(pending_[i]);
  added_ = 0;
  return filter_;
}

void BloomFilter::Set(uint64_t hash) {
  uint8_t* block = filter_.data() + size_t{BloomBlock(hash, blocks_)} * kBloomBlockBytes;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    uint8_t* at = block + lane * sizeof(uint32_t);
    StoreLe(at, LoadLe<uint32_t>(at) | LaneBit(hash, lane));
  }
}

bool BloomMayHold(std::span<const uint8_t> block, uint64_t hash) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((LoadLe<uint32_t>(block.data() + lane * sizeof(uint32_t)) & LaneBit(hash, lane)) == 0) return false;
  }
  return true;
}

}  // namespace steno
