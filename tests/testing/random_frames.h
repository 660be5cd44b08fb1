// Random frames for property tests: well-formed header stacks of every kind that the decoder knows, from a
// small pool of addresses, ports and tags (so that terms hit), and broken ones: bytes changed, cut off.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "packet/decode.h"

namespace steno::testing {

struct RandomFrame {
  std::vector<uint8_t> bytes;
  StrippedTag tag;
};

// A valid frame; about half of them plain IPv4 or IPv6, as on a wire.
RandomFrame MakeRandomFrame(std::mt19937_64& random);

// The same, mostly damaged: up to a few bytes changed, sometimes cut off.
RandomFrame MakeBrokenFrame(std::mt19937_64& random);

// One frame of each shape, deterministic.
std::vector<std::vector<uint8_t>> EveryFrame();

// The pools that the frames are made from.
const std::vector<const char*>& PoolV4();
const std::vector<const char*>& PoolV6();
const std::vector<uint16_t>& PoolPorts();

}  // namespace steno::testing
