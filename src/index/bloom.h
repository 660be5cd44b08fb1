// A split-block Bloom filter over addresses: 256-bit blocks of eight 32-bit lanes; an address sets one bit
// per lane of one block. At 12 bits per address about 1 % of foreign addresses pass. Scheme and lane
// constants as in the Apache Parquet format ("Parquet Bloom Filter"); the hash is our own. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "packet/address.h"

namespace steno {

inline constexpr uint32_t kBloomBlockBytes = 32;
inline constexpr uint32_t kBloomBitsPerAddress = 12;

// A bijection of 64-bit numbers in which every input bit changes every output bit (the finalizer of
// MurmurHash3).
constexpr uint64_t BloomScramble(uint64_t value) {
  value = (value ^ value >> 33) * 0xff51afd7ed558ccd;
  value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

constexpr uint64_t BloomHash(const Address& address) {
  constexpr uint64_t kV4 = BloomScramble(4);  // the upper half of an IPv4 address is 0
  const uint64_t seed = address.family == 4 ? kV4 : BloomScramble(address.high + address.family);
  return BloomScramble(address.low + seed);
}

// Builds a filter. Its size follows from the number of addresses, at most that many of which are then added.
class BloomFilter {
 public:
  BloomFilter() = default;
  explicit BloomFilter(uint32_t addresses);

  void Add(uint64_t hash);
  // The blocks with all that was added, valid until the next call; none for no addresses.
  std::span<const uint8_t> Finish();
  [[nodiscard]] uint32_t blocks() const { return blocks_; }

 private:
  // Addresses are added some time after their blocks were fetched into the cache.
  static constexpr size_t kPending = 16;
  void Set(uint64_t hash);

  std::vector<uint8_t> filter_;
  uint32_t blocks_ = 0;
  std::array<uint64_t, kPending> pending_{};
  size_t added_ = 0;
};

// Which block of a filter of `blocks` blocks belongs to a hash.
constexpr uint32_t BloomBlock(uint64_t hash, uint32_t blocks) {
  return static_cast<uint32_t>((hash >> 32) * blocks >> 32);
}

// False if no address with this hash is in the block. REQUIRES: block.size() >= kBloomBlockBytes.
bool BloomMayHold(std::span<const uint8_t> block, uint64_t hash);

}  // namespace steno
