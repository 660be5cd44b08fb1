#include "index/address_dictionary.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/crc32c.h"
#include "index/bloom.h"
#include "index/prefix_sort.h"

namespace steno {
namespace {

using Wide = unsigned __int128;

constexpr size_t kMaxEntryBytes = 19 + 5 + 5;  // varints of 128, 32 and 32 bits

Wide NumberOf(const Address& address) { return Wide{address.high} << 64 | address.low; }

// The order of the code for a list of `count` flows among `flows`: near the logarithm of the mean difference.
unsigned ReferenceOrder(uint32_t flows, uint32_t count) {
  const uint32_t mean = flows / std::max(count, 1u);
  return mean < 2 ? 0 : static_cast<unsigned>(std::bit_width(mean)) - 1;
}

// Takes the addresses in ascending order, makes pages of them.
class DictionaryWriter {
 public:
  explicit DictionaryWriter(uint32_t flows) : flows_(flows) {}

  // `first_flows`: how many plain flows have it as their first address. `references`: ascending, without
  // duplicates.
  void Add(const Address& address, uint32_t first_flows, std::span<const uint32_t> references) {
    if (page_.size() + kMaxEntryBytes > kAddressPageBytes || address.family != fence_.family) {
      EndPage();
      StartPage(address);
    }
    AppendVarint(page_, NumberOf(address) - NumberOf(previous_));
    AppendVarint(page_, first_flows);
    AppendVarint(page_, static_cast<uint32_t>(references.size()));
    const unsigned order = ReferenceOrder(flows_, static_cast<uint32_t>(references.size()));
    uint32_t next = 0;
    for (const uint32_t flow : references) {
      bits_.PutExpGolomb(flow - next, order);
      next = flow + 1;
    }
    previous_ = address;
    next_flow_ += first_flows;
    ++fence_.entries;
    hashes_.push_back(BloomHash(address));
  }

  AddressSections Finish() {
    EndPage();
    out_.addresses = static_cast<uint32_t>(hashes_.size());
    if (out_.addresses > 0) AppendBloomPages();
    return std::move(out_);
  }

 private:
  void StartPage(const Address& address) {
    fence_ = {};
    fence_.address_high = address.high;
    fence_.address_low = address.low;
    fence_.family = address.family;
    fence_.first_flow = next_flow_;
    previous_ = address;
  }

  void EndPage() {
    if (fence_.entries == 0) return;
    Bytes& references = bits_.Finish();
    fence_.page_offset = static_cast<uint32_t>(out_.pages.size());
    fence_.page_bytes = static_cast<uint32_t>(page_.size());
    fence_.page_crc = Crc32c(page_);
    fence_.references_offset = static_cast<uint32_t>(out_.references.size());
    fence_.references_bytes = static_cast<uint32_t>(references.size());
    fence_.references_crc = Crc32c(references);
    const auto* fence = reinterpret_cast<const uint8_t*>(&fence_);
    out_.fences.insert(out_.fences.end(), fence, fence + sizeof fence_);
    out_.pages.insert(out_.pages.end(), page_.begin(), page_.end());
    out_.references.insert(out_.references.end(), references.begin(), references.end());
    page_.clear();
    references.clear();
  }

  void AppendBloomPages() {
    const Bytes filter = BuildBloom(hashes_);
    out_.bloom_blocks = static_cast<uint32_t>(filter.size() / kBloomBlockBytes);
    constexpr size_t kPageBytes = size_t{kBloomBlocksPerPage} * kBloomBlockBytes;
    for (size_t at = 0; at < filter.size(); at += kPageBytes) {
      const auto page = std::span(filter).subspan(at, std::min(kPageBytes, filter.size() - at));
      out_.bloom.insert(out_.bloom.end(), page.begin(), page.end());
      AppendLe(out_.bloom, Crc32c(page));
    }
  }

  uint32_t flows_;
  AddressSections out_;
  AddressFence fence_{};  // of the page being filled
  Bytes page_;
  BitWriter bits_;
  Address previous_;
  uint32_t next_flow_ = 0;
  std::vector<uint64_t> hashes_;
};

// Merges the flows, sorted by first address, with the sorted references of the same family.
template <class FirstOf, class ReferenceAt>
void Merge(size_t flow_count, FirstOf first_of, size_t reference_count, ReferenceAt reference_at,
           DictionaryWriter& writer) {
  std::vector<uint32_t> list;
  for (size_t flow = 0, reference = 0; flow < flow_count || reference < reference_count;) {
    Address address = flow < flow_count ? first_of(flow) : reference_at(reference).address;
    if (reference < reference_count) address = std::min(address, reference_at(reference).address);
    uint32_t first_flows = 0;
    for (; flow < flow_count && first_of(flow) == address; ++flow) ++first_flows;
    list.clear();
    for (; reference < reference_count && reference_at(reference).address == address; ++reference) {
      const uint32_t referring = reference_at(reference).flow;
      // Several layers of one flow may have the same address.
      if (list.empty() || list.back() != referring) list.push_back(referring);
    }
    writer.Add(address, first_flows, list);
  }
}

void AddV4(const FlowOrder& order, DictionaryWriter& writer) {
  std::vector<uint64_t> references;  // address in the upper half, flow in the lower
  references.reserve(order.v4.size() + order.general_v4.size());
  for (uint32_t flow = 0; flow < order.v4.size(); ++flow) {
    references.push_back(uint64_t{order.v4[flow].b} << 32 | flow);
  }
  references.insert(references.end(), order.general_v4.begin(), order.general_v4.end());
  PrefixSort(references);
  Merge(
      order.v4.size(), [&](size_t i) { return Address::V4(order.v4[i].a); }, references.size(),
      [&](size_t i) {
        return Reference{Address::V4(static_cast<uint32_t>(references[i] >> 32)),
                         static_cast<uint32_t>(references[i])};
      },
      writer);
}

void AddV6(const FlowOrder& order, DictionaryWriter& writer) {
  std::vector<Reference> references;
  references.reserve(order.v6.size() + order.general_v6.size());
  const auto first_v6 = static_cast<uint32_t>(order.v4.size());
  for (uint32_t i = 0; i < order.v6.size(); ++i) references.push_back({order.v6[i].b, first_v6 + i});
  references.insert(references.end(), order.general_v6.begin(), order.general_v6.end());
  std::ranges::sort(references, [](const Reference& left, const Reference& right) {
    return left.address != right.address ? left.address < right.address : left.flow < right.flow;
  });
  Merge(
      order.v6.size(), [&](size_t i) { return order.v6[i].a; }, references.size(),
      [&](size_t i) { return references[i]; }, writer);
}

}  // namespace

AddressSections BuildAddressSections(const FlowOrder& order) {
  DictionaryWriter writer(order.count());
  AddV4(order, writer);
  AddV6(order, writer);
  return writer.Finish();
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

}  // namespace steno
