// A split-block Bloom filter over addresses: 256-bit blocks of eight 32-bit lanes; an address sets one bit
// per lane of one block. At 12 bits per address about 1 % of foreign addresses pass. Scheme and lane
// constants as in the Apache Parquet format ("Parquet Bloom Filter"); the hash is our own. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "packet/address.h"

namespace steno {

inline constexpr uint32_t kBloomBlockBytes = 32;
inline constexpr uint32_t kBloomBitsPerAddress = 12;

uint64_t BloomHash(const Address& address);

// The filter's blocks for the addresses with these hashes; at least one block.
std::vector<uint8_t> BuildBloom(std::span<const uint64_t> hashes);

// Which block of a filter of `blocks` blocks belongs to a hash.
uint32_t BloomBlock(uint64_t hash, uint32_t blocks);

// False if no address with this hash is in the block. REQUIRES: block.size() >= kBloomBlockBytes.
bool BloomMayHold(std::span<const uint8_t> block, uint64_t hash);

}  // namespace steno
