#include "index/address_dictionary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/crc32c.h"
#include "index/bloom.h"
#include "index/radix_sort.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

using Wide = unsigned __int128;

constexpr size_t kMaxEntryBytes = 19 + 5 + 5;  // varints of 128, 32 and 32 bits
// How far ahead addresses are fetched that lie all over the key heap.
constexpr size_t kPrefetchFlows = 16;

Wide NumberOf(const Address& address) { return Wide{address.high} << 64 | address.low; }
// A difference, in the smallest type that holds it.
uint8_t* PutDifference(uint8_t* at, const Address& address, const Address& from) {
  if (address.high == from.high) return PutVarint(at, address.low - from.low);
  return PutVarint(at, NumberOf(address) - NumberOf(from));
}

// The order of the code for a list of `count` flows among `flows`: near the logarithm of the mean difference.
unsigned ReferenceOrder(uint32_t flows, uint32_t count) {
  const uint32_t mean = flows / std::max(count, 1u);
  return mean < 2 ? 0 : static_cast<unsigned>(std::bit_width(mean)) - 1;
}

// Takes the addresses in ascending order, makes pages of them.
class PageWriter {
 public:
  PageWriter(uint32_t flows, SealedWriter& writer) : flows_(flows), writer_(writer) {}

  // Begins an address, of which Refer() then adds the references.
  // `first_flows`: how many plain flows have it as their first address. `references`: how many follow.
  void Add(const Address& address, uint32_t first_flows, uint32_t references) {
    if (used_ + kMaxEntryBytes > kAddressPageBytes || address.family != fence_.family) {
      EndPage();
      StartPage(address);
    }
    uint8_t* at = PutDifference(page_.data() + used_, address, previous_);
    at = PutVarint(at, first_flows);
    at = PutVarint(at, references);
    used_ = static_cast<size_t>(at - page_.data());
    previous_ = address;
    next_flow_ += first_flows;
    ++fence_.entries;
    order_ = ReferenceOrder(flows_, references);
    next_reference_ = 0;
  }

  void Refer(uint32_t flow) {
    bits_.PutExpGolomb(flow - next_reference_, order_);
    next_reference_ = flow + 1;
  }

  void EndPage() {
    if (fence_.entries == 0) return;
    const auto page = std::span<const uint8_t>(page_).first(used_);
    const auto references = bits_.Finish();
    fence_.page_bytes = static_cast<uint32_t>(page.size());
    fence_.page_crc = Crc32c(page);
    fence_.references_bytes = static_cast<uint32_t>(references.size());
    fence_.references_crc = Crc32c(references);
    const auto* fence = reinterpret_cast<const uint8_t*>(&fence_);
    fences_.insert(fences_.end(), fence, fence + sizeof fence_);
    writer_.Append(page);
    writer_.Append(references);
    next_offset_ += fence_.page_bytes + fence_.references_bytes;
    fence_ = {};
    used_ = 0;
    bits_.Clear();
  }

  [[nodiscard]] const Bytes& fences() const { return fences_; }

 private:
  void StartPage(const Address& address) {
    fence_ = {.address_high = address.high,
              .address_low = address.low,
              .family = address.family,
              .entries = 0,
              .first_flow = next_flow_,
              .page_offset = next_offset_,
              .page_bytes = 0,
              .page_crc = 0,
              .references_bytes = 0,
              .references_crc = 0};
    previous_ = address;
  }

  const uint32_t flows_;
  SealedWriter& writer_;
  std::array<uint8_t, kAddressPageBytes> page_;
  size_t used_ = 0;
  AddressFence fence_{};  // of the page being filled
  Bytes fences_;
  BitWriter bits_;
  Address previous_;
  uint32_t next_flow_ = 0;
  uint32_t next_offset_ = 0;
  unsigned order_ = 0;           // of the current address's references
  uint32_t next_reference_ = 0;  // the lowest flow that can come next
};

// An occurrence of an address in a flow other than as first address of a plain one. IPv4: the address in the
// upper half, the flow in the lower.
using V4Reference = uint64_t;
struct V6Reference {
  std::array<uint32_t, 5> words;  // address, highest word first; flow

  V6Reference() = default;
  V6Reference(const Address& address, uint32_t flow)
      : words{static_cast<uint32_t>(address.high >> 32), static_cast<uint32_t>(address.high),
              static_cast<uint32_t>(address.low >> 32), static_cast<uint32_t>(address.low), flow} {}
  [[nodiscard]] uint64_t Pair(size_t at) const { return uint64_t{words[at]} << 32 | words[at + 1]; }
};
struct V6Keys {
  static constexpr unsigned words = 3;
  static uint64_t Word(const V6Reference& reference, unsigned word) {
    return word < 2 ? reference.Pair(size_t{2} * word) : reference.words[4];
  }
  static void Load(const V6Reference&, unsigned) {}
};

uint32_t FlowOf(V4Reference reference) { return static_cast<uint32_t>(reference); }
uint32_t FlowOf(const V6Reference& reference) { return reference.words[4]; }
// Addresses as numbers, of a type that tells the family.
uint32_t NumberOf(V4Reference reference) { return static_cast<uint32_t>(reference >> 32); }
Wide NumberOf(const V6Reference& reference) { return Wide{reference.Pair(0)} << 64 | reference.Pair(2); }
Address AddressOf(uint32_t number) { return Address::V4(number); }
Address AddressOf(Wide number) {
  return Address::V6(static_cast<uint64_t>(number >> 64), static_cast<uint64_t>(number));
}

// Merges plain flows, sorted by first address, with sorted references: calls visit(address, number of flows,
// references) for every address. `first_of(i)` is the first address of the i-th flow. Addresses are numbers.
template <class FirstOf, class Reference, class Visit>
void ForEachAddress(size_t flows, FirstOf first_of, std::span<Reference> references, Visit visit) {
  for (size_t flow = 0, reference = 0; flow < flows || reference < references.size();) {
    auto address = flow < flows ? first_of(flow) : NumberOf(references[reference]);
    if (reference < references.size()) address = std::min(address, NumberOf(references[reference]));
    const size_t first_flow = flow;
    while (flow < flows && first_of(flow) == address) ++flow;
    const size_t first_reference = reference;
    while (reference < references.size() && NumberOf(references[reference]) == address) ++reference;
    visit(address, static_cast<uint32_t>(flow - first_flow),
          references.subspan(first_reference, reference - first_reference));
  }
}

// The references of one address, without repetitions: several layers of a flow may have it.
template <class Reference>
std::span<Reference> Unique(std::span<Reference> references) {
  if (references.size() < 2) return references;
  const auto same = [](const Reference& left, const Reference& right) {
    return FlowOf(left) == FlowOf(right);
  };
  return {references.begin(), std::unique(references.begin(), references.end(), same)};
}

Status WriteFilter(SectionId id, std::span<const uint8_t> filter, SealedWriter& writer) {
  constexpr size_t kPageBytes = size_t{kBloomBlocksPerPage} * kBloomBlockBytes;
  writer.Begin(id);
  for (size_t at = 0; at < filter.size(); at += kPageBytes) {
    const auto page = filter.subspan(at, std::min(kPageBytes, filter.size() - at));
    std::array<uint8_t, sizeof(uint32_t)> crc;
    StoreLe(crc.data(), Crc32c(page));
    writer.Append(page);
    writer.Append(crc);
  }
  return writer.End();
}

// The addresses of the general flows.
class GeneralAddresses {
 public:
  explicit GeneralAddresses(const FlowOrder& order) : order_(order) {}

  // Calls visit(address, flow).
  template <class Visit>
  void ForEach(Visit visit) const {
    FlowKey key;
    PacketHeaders headers;
    for (uint32_t flow = order_.plain_count(); flow < order_.count(); ++flow) {
      order_.CopyGeneralKey(flow, key);
      if (!ParseFlowKey(key.kind, key.view(), headers)) continue;
      for (unsigned i = 0; i < headers.layer_count; ++i) {
        visit(headers.layers[i].src, flow);
        visit(headers.layers[i].dst, flow);
      }
    }
  }

  // How many addresses of a family there are.
  [[nodiscard]] size_t Count(unsigned family) const {
    size_t count = 0;
    ForEach([&](const Address& address, uint32_t) { count += address.family == family ? 1 : 0; });
    return count;
  }

 private:
  const FlowOrder& order_;
};

class AddressWriter {
 public:
  AddressWriter(const FlowOrder& order, Scratch& scratch, SealedWriter& writer)
      : order_(order), scratch_(scratch), writer_(writer), general_(order), pages_(order.count(), writer) {}

  Status Write(IndexFooter& footer) {
    BloomFilter v4_filter;
    BloomFilter v6_filter;
    writer_.Begin(SectionId::kAddressPages);
    STENO_CHECK_OK(WriteV4(v4_filter));
    STENO_CHECK_OK(WriteV6(v6_filter));
    STENO_CHECK_OK(writer_.End());
    STENO_CHECK_OK(writer_.Add(SectionId::kAddressFences, pages_.fences()));
    STENO_CHECK_OK(WriteFilter(SectionId::kBloomV4, v4_filter.Finish(), writer_));
    STENO_CHECK_OK(WriteFilter(SectionId::kBloomV6, v6_filter.Finish(), writer_));
    footer.addresses = addresses_;
    footer.bloom_v4_blocks = v4_filter.blocks();
    footer.bloom_v6_blocks = v6_filter.blocks();
    return {};
  }

 private:
  Status WriteV4(BloomFilter& filter) {
    const Scratch::Mark temporary(scratch_);
    const auto& addresses = order_.v4_addresses;
    STENO_TRY(auto references, scratch_.Take<V4Reference>(addresses.size() + general_.Count(4)));
    STENO_TRY(const auto other, scratch_.Take<V4Reference>(references.size()));
    size_t next = 0;
    for (const uint64_t both : addresses) {
      references[next] = both << 32 | next;
      ++next;
    }
    general_.ForEach([&](const Address& address, uint32_t flow) {
      if (address.family == 4 && next < references.size()) references[next++] = address.low << 32 | flow;
    });
    references = references.first(next);
    RadixSort(references, other);
    const auto first_of = [&](size_t flow) { return static_cast<uint32_t>(addresses[flow] >> 32); };
    WriteFamily(addresses.size(), first_of, references, filter);
    return {};
  }

  Status WriteV6(BloomFilter& filter) {
    const Scratch::Mark temporary(scratch_);
    const auto& addresses = order_.v6_addresses;
    STENO_TRY(auto references, scratch_.Take<V6Reference>(addresses.size() + general_.Count(6)));
    STENO_TRY(const auto other, scratch_.Take<V6Reference>(references.size()));
    size_t next = 0;
    for (; next < addresses.size(); ++next) {
      const auto flow = order_.v4_count() + static_cast<uint32_t>(next);
      order_.PrefetchV6(flow + kPrefetchFlows);
      references[next] = V6Reference(order_.V6Second(flow), flow);
    }
    general_.ForEach([&](const Address& address, uint32_t flow) {
      if (address.family == 6 && next < references.size()) references[next++] = V6Reference(address, flow);
    });
    references = references.first(next);
    RadixSort(references, other, V6Keys{});
    const auto first_of = [&](size_t flow) { return Wide{addresses[flow].high} << 64 | addresses[flow].low; };
    WriteFamily(addresses.size(), first_of, references, filter);
    return {};
  }

  template <class FirstOf, class Reference>
  void WriteFamily(size_t flows, FirstOf first_of, std::span<Reference> references, BloomFilter& filter) {
    using Number = decltype(first_of(0));
    uint32_t count = 0;
    ForEachAddress(flows, first_of, references, [&](Number, uint32_t, std::span<Reference>) { ++count; });
    addresses_ += count;
    filter = BloomFilter(count);
    ForEachAddress(flows, first_of, references,
                   [&](Number number, uint32_t first_flows, std::span<Reference> all) {
                     const Address address = AddressOf(number);
                     const auto of_address = Unique(all);
                     pages_.Add(address, first_flows, static_cast<uint32_t>(of_address.size()));
                     for (const Reference& reference : of_address) pages_.Refer(FlowOf(reference));
                     filter.Add(BloomHash(address));
                   });
    pages_.EndPage();
  }

  const FlowOrder& order_;
  Scratch& scratch_;
  SealedWriter& writer_;
  const GeneralAddresses general_;
  PageWriter pages_;
  uint32_t addresses_ = 0;
};

}  // namespace

Status WriteAddresses(const FlowOrder& order, Scratch& scratch, SealedWriter& writer, IndexFooter& footer) {
  return AddressWriter(order, scratch, writer).Write(footer);
}

Status CollectHits(const AddressFence& fence, std::span<const uint8_t> page,
                   std::span<const uint8_t> references, const AddressRange& range, uint32_t flows,
                   AddressHits& hits) {
  ByteReader entries(page);
  BitReader bits(references);
  const Wide first = NumberOf(range.first);
  const Wide last = NumberOf(range.last);
  Wide address = Wide{fence.address_high} << 64 | fence.address_low;
  uint64_t first_flow = fence.first_flow;
  for (uint32_t i = 0; i < fence.entries; ++i) {
    address += entries.Varint<Wide>();
    const auto run = entries.Varint<uint32_t>();
    const auto count = entries.Varint<uint32_t>();
    if (!entries.ok() || first_flow + run > flows) return Fail(Error::Corrupt("address page: broken entry"));
    if (address > last) break;
    const bool wanted = address >= first;
    if (wanted && run > 0) {
      hits.first_runs.emplace_back(static_cast<uint32_t>(first_flow),
                                   static_cast<uint32_t>(first_flow + run));
    }
    first_flow += run;
    const unsigned order = ReferenceOrder(flows, count);
    uint64_t next = 0;
    for (uint32_t k = 0; k < count; ++k) {
      const uint64_t flow = next + bits.GetExpGolomb(order);
      if (!bits.ok() || flow >= flows) return Fail(Error::Corrupt("address page: broken references"));
      if (wanted) hits.references.push_back(static_cast<uint32_t>(flow));
      next = flow + 1;
    }
  }
  return {};
}

Result<bool> PageHolds(const AddressFence& fence, std::span<const uint8_t> page, const Address& address) {
  ByteReader entries(page);
  const Wide wanted = NumberOf(address);
  Wide number = Wide{fence.address_high} << 64 | fence.address_low;
  for (uint32_t i = 0; i < fence.entries && number <= wanted; ++i) {
    number += entries.Varint<Wide>();
    (void)entries.Varint<uint32_t>();
    (void)entries.Varint<uint32_t>();
    if (!entries.ok()) return Fail(Error::Corrupt("address page: broken entry"));
    if (number == wanted) return true;
  }
  return false;
}

}  // namespace steno
