// Postings of a sealed index: for each flow the granules in which packets of it start.
//
// Flows come in groups of kFlowsPerPostingGroup; a group starts at a byte. Per flow: number of granules minus
// 1 (exponential Golomb code of order 0); the first granule, in as many bits as the largest granule number
// has; the differences of the others minus 1 (exponential Golomb codes, whose order is DeltaOrder() of the
// difference before). Pure functions; any bytes are safe to decode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "index/bit_stream.h"
#include "index/flow_order.h"
#include "index/sealed_format.h"
#include "index/sealed_writer.h"

namespace steno {

// Writes the sections kPostings and kPostingGroups. kExhausted if `scratch` is too small.
Status WritePostings(const FlowOrder& order, Scratch& scratch, SealedWriter& writer);

// Decodes a group from its start on, up to and with flow `last_flow` (counted in the group). Calls
// visit(flow, granule).
template <class Visit>
Status DecodePostingGroup(std::span<const uint8_t> group, uint32_t last_flow, uint32_t granules, Visit visit);

// How the code of a difference follows from the one before: traffic of a flow comes in a rhythm.
constexpr unsigned DeltaOrder(uint32_t previous) {
  return previous < 2 ? 0 : static_cast<unsigned>(std::bit_width(previous)) - 1;
}
inline constexpr uint32_t kInitialDelta = 4;

constexpr unsigned GranuleBits(uint32_t granules) {
  return granules == 0 ? 0 : static_cast<unsigned>(std::bit_width(granules - 1));
}

template <class Visit>
Status DecodePostingGroup(std::span<const uint8_t> group, uint32_t last_flow, uint32_t granules,
                          Visit visit) {
  BitReader bits(group);
  const unsigned granule_bits = GranuleBits(granules);
  for (uint32_t flow = 0; flow <= last_flow; ++flow) {
    const uint32_t more = bits.GetExpGolomb(0);
    uint64_t granule = bits.Get(granule_bits);
    uint32_t delta = kInitialDelta;
    for (uint32_t i = 0;; ++i) {
      if (!bits.ok() || granule >= granules) return Fail(Error::Corrupt("postings: broken"));
      visit(flow, static_cast<uint32_t>(granule));
      if (i == more) break;
      delta = bits.GetExpGolomb(DeltaOrder(delta));
      granule += uint64_t{delta} + 1;
    }
  }
  return {};
}

}  // namespace steno
