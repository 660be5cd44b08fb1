#include "index/bloom.h"

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

// A bijection of 64-bit numbers in which every input bit changes every output bit (the finalizer of
// MurmurHash3).
uint64_t Scramble(uint64_t value) {
  value = (value ^ value >> 33) * 0xff51afd7ed558ccd;
  value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

}  // namespace

uint64_t BloomHash(const Address& address) {
  return Scramble(address.low + Scramble(address.high + address.family));
}

uint32_t BloomBlock(uint64_t hash, uint32_t blocks) {
  return static_cast<uint32_t>((hash >> 32) * blocks >> 32);
}

std::vector<uint8_t> BuildBloom(std::span<const uint64_t> hashes) {
  const size_t bits = hashes.size() * kBloomBitsPerAddress;
  const auto blocks = static_cast<uint32_t>(bits / (8 * kBloomBlockBytes) + 1);
  std::vector<uint8_t> filter(size_t{blocks} * kBloomBlockBytes);
  for (const uint64_t hash : hashes) {
    uint8_t* block = filter.data() + size_t{BloomBlock(hash, blocks)} * kBloomBlockBytes;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      uint8_t* at = block + lane * sizeof(uint32_t);
      StoreLe(at, LoadLe<uint32_t>(at) | LaneBit(hash, lane));
    }
  }
  return filter;
}

bool BloomMayHold(std::span<const uint8_t> block, uint64_t hash) {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((LoadLe<uint32_t>(block.data() + lane * sizeof(uint32_t)) & LaneBit(hash, lane)) == 0) return false;
  }
  return true;
}

}  // namespace steno
