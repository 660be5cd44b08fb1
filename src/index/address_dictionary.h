// The sorted addresses of a sealed index and, for each, the flows in which it occurs.
//
// A page holds addresses of one family in ascending order. Per address, as varints: difference to the
// previous address of the page (the first one's is 0; its value is in the fence), number of plain flows of
// which it is the first address (these are contiguous), number of its references: the other flows in which it
// occurs. Behind the page are the references themselves, from a byte on: per address, ascending, exponential
// Golomb codes of the differences minus 1 (the first one's: flow number), of order ReferenceOrder(). Pure
// functions; any bytes are safe to decode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "index/bit_stream.h"
#include "index/flow_order.h"
#include "index/scratch.h"
#include "index/sealed_format.h"
#include "index/sealed_writer.h"

namespace steno {

// Writes the sections kAddressPages to kBloomV6, and counts of `footer`. kExhausted if `scratch` is too
// small.
Status WriteAddresses(const FlowOrder& order, Scratch& scratch, SealedWriter& writer, IndexFooter& footer);

// Which flows the addresses of a range occur in.
struct AddressHits {
  // Runs [first, end) of plain flows whose first address is in the range.
  std::vector<std::pair<uint32_t, uint32_t>> first_runs;
  // All other occurrences, in no order.
  std::vector<uint32_t> references;
};

// Adds the hits of the addresses of one page that lie in `range` to `hits`. `flows`: of the index.
Status CollectHits(const AddressFence& fence, std::span<const uint8_t> page,
                   std::span<const uint8_t> references, const AddressRange& range, uint32_t flows,
                   AddressHits& hits);

// True if one of the page's addresses is `address`.
Result<bool> PageHolds(const AddressFence& fence, std::span<const uint8_t> page, const Address& address);

}  // namespace steno
