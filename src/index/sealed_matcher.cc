#include "index/sealed_matcher.h"

#include <algorithm>

#include "index/address_dictionary.h"
#include "index/bloom.h"
#include "index/flow_columns.h"
#include "index/packed_column.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

constexpr uint32_t kEtherTypeIpv4 = 0x0800;
constexpr uint32_t kEtherTypeIpv6 = 0x86dd;

bool InRange(const Term& term, uint32_t value) { return term.first <= value && value <= term.last; }

class Matcher {
 public:
  Matcher(const SealedFile& file, const Term& term, const FlowSet* candidates)
      : file_(file),
        term_(term),
        candidates_(candidates),
        v4_end_(file.footer().v4_flows),
        plain_end_(v4_end_ + file.footer().v6_flows),
        flows_(file.footer().flows),
        match_{FlowSet(flows_), FlowSet(flows_)} {}

  Result<FlowMatch> Run() {
    STENO_CHECK_OK(MatchFlows());
    return std::move(match_);
  }

 private:
  Status MatchFlows() {
    switch (term_.kind) {
      case TermKind::kAddress:
        return MatchAddress();
      case TermKind::kPort:
        STENO_CHECK_OK(MatchPorts());
        break;
      case TermKind::kProtocol:
        STENO_CHECK_OK(MatchProtocols());
        break;
      case TermKind::kVlan:
        STENO_CHECK_OK(MatchVlans());
        break;
      case TermKind::kLayer:
        AddPlain((term_.layer_kinds & kLayerBitIpv4) != 0, (term_.layer_kinds & kLayerBitIpv6) != 0);
        break;
      case TermKind::kEtherType:
        AddPlain(InRange(term_, kEtherTypeIpv4), InRange(term_, kEtherTypeIpv6));
        break;
      case TermKind::kMpls:
        break;
      case TermKind::kMac:
        match_.may.AddRange(0, plain_end_);
        break;
    }
    return MatchGeneral(nullptr);
  }

  // Plain flows of a family match as a whole, or not.
  void AddPlain(bool v4, bool v6) {
    if (v4) AddRange(0, v4_end_);
    if (v6) AddRange(v4_end_, plain_end_);
  }
  void AddRange(uint32_t first, uint32_t end) {
    match_.may.AddRange(first, end);
    match_.must.AddRange(first, end);
  }

  [[nodiscard]] bool Counts(LayerKind kind) const {
    return (term_.layer_kinds & (kind == LayerKind::kIpv4 ? kLayerBitIpv4 : kLayerBitIpv6)) != 0;
  }
  [[nodiscard]] bool PlainCounts(uint32_t flow) const {
    return Counts(flow < v4_end_ ? LayerKind::kIpv4 : LayerKind::kIpv6);
  }

  // Adds a flow of which `ends` ends (of two) match a term with sides.
  void AddByEnds(uint32_t flow, unsigned ends) {
    const bool both_needed = term_.side == Side::kBoth;
    if (ends == 0 || (both_needed && ends < 2)) return;
    match_.may.Add(flow);
    if (ends == 2 || term_.side == Side::kEither) match_.must.Add(flow);
  }

  Status MatchPorts();
  Status MatchProtocols();
  Status MatchVlans();
  Status MatchAddress();
  Result<bool> BloomMisses() const;
  Status CollectAddressHits(AddressHits& hits) const;
  Status MatchGeneral(const FlowSet* among);
  // Whether the plain flows of the column's block from `first` on need to be decoded.
  [[nodiscard]] bool IsWanted(uint32_t first) const {
    const uint32_t end = std::min<uint32_t>(first + kColumnBlock, plain_end_);
    return candidates_ == nullptr || candidates_->MayHaveAny(first, end);
  }
  // Calls visit(first flow, codes of the services) for all plain flows, a block of them at a time; without
  // codes where none of them is wanted.
  template <class Visit>
  Status ForEachService(size_t services, Visit visit) const;

  const SealedFile& file_;
  const Term& term_;
  const FlowSet* const candidates_;  // null: all flows
  const uint32_t v4_end_;
  const uint32_t plain_end_;
  const uint32_t flows_;
  FlowMatch match_;
};

template <class Visit>
Status Matcher::ForEachService(size_t services, Visit visit) const {
  STENO_TRY(const auto bytes, file_.Section(SectionId::kServiceCodes));
  ColumnDecoder codes(bytes, plain_end_);
  for (uint32_t flow = 0; flow < plain_end_; flow += kColumnBlock) {
    if (!IsWanted(flow)) {
      STENO_CHECK_OK(codes.Skip());
      STENO_CHECK_OK(visit(flow, std::span<const uint32_t>()));
      continue;
    }
    STENO_TRY(const auto block, codes.Next());
    if (*std::max_element(block.begin(), block.end()) >= services) {
      return Fail(file_.Corrupt("a service code outside the dictionary"));
    }
    STENO_CHECK_OK(visit(flow, block));
  }
  return {};
}

Status Matcher::MatchProtocols() {
  STENO_TRY(const auto bytes, file_.Section(SectionId::kServices));
  STENO_TRY(const auto services, DecodeServices(bytes));
  return ForEachService(services.size(), [&](uint32_t first, std::span<const uint32_t> codes) -> Status {
    for (uint32_t i = 0; i < codes.size(); ++i) {
      if (InRange(term_, services[codes[i]].protocol) && PlainCounts(first + i))
        AddRange(first + i, first + i + 1);
    }
    return {};
  });
}

Status Matcher::MatchPorts() {
  STENO_TRY(const auto service_bytes, file_.Section(SectionId::kServices));
  STENO_TRY(const auto services, DecodeServices(service_bytes));
  STENO_TRY(const auto port_bytes, file_.Section(SectionId::kOtherPorts));
  // Per service: whether its flows count at all, and whether its own port matches.
  std::vector<uint8_t> counts(services.size());
  std::vector<uint8_t> matches(services.size());
  for (size_t i = 0; i < services.size(); ++i) {
    counts[i] =
        services[i].has_ports != 0 && (term_.protocol < 0 || services[i].protocol == term_.protocol) ? 1 : 0;
    matches[i] = counts[i] != 0 && InRange(term_, services[i].port) ? 1 : 0;
  }
  ColumnDecoder ports(port_bytes, plain_end_);
  return ForEachService(services.size(), [&](uint32_t first, std::span<const uint32_t> codes) -> Status {
    if (codes.empty()) return ports.Skip();
    STENO_TRY(const auto others, ports.Next());
    for (uint32_t i = 0; i < codes.size(); ++i) {
      const unsigned other = InRange(term_, others[i]) ? counts[codes[i]] : 0u;
      const unsigned ends = other + matches[codes[i]];
      if (ends != 0 && PlainCounts(first + i)) AddByEnds(first + i, ends);
    }
    return {};
  });
}

Status Matcher::MatchVlans() {
  STENO_TRY(const auto bytes, file_.Section(SectionId::kVlans));
  if (bytes.empty()) return {};
  ColumnDecoder vlans(bytes, plain_end_);
  for (uint32_t first = 0; first < plain_end_; first += kColumnBlock) {
    if (!IsWanted(first)) {
      STENO_CHECK_OK(vlans.Skip());
      continue;
    }
    STENO_TRY(const auto block, vlans.Next());
    for (uint32_t i = 0; i < block.size(); ++i) {
      if (block[i] > 0 && InRange(term_, block[i] - 1)) AddRange(first + i, first + i + 1);
    }
  }
  return {};
}

// True if the filter says that no flow has the term's one address.
Result<bool> Matcher::BloomMisses() const {
  const bool ipv4 = term_.addresses.first.family == 4;
  const uint32_t blocks = ipv4 ? file_.footer().bloom_v4_blocks : file_.footer().bloom_v6_blocks;
  if (term_.addresses.first != term_.addresses.last) return false;
  if (blocks == 0) return true;  // there are no addresses of this family
  constexpr uint32_t kPageBytes = kBloomBlocksPerPage * kBloomBlockBytes;
  const uint64_t hash = BloomHash(term_.addresses.first);
  const uint32_t block = BloomBlock(hash, blocks);
  const uint32_t page = block / kBloomBlocksPerPage;
  const uint32_t page_blocks = std::min(kBloomBlocksPerPage, blocks - page * kBloomBlocksPerPage);
  STENO_TRY(const Bytes bytes, file_.ReadPart(ipv4 ? SectionId::kBloomV4 : SectionId::kBloomV6,
                                              uint64_t{page} * (kPageBytes + sizeof(uint32_t)),
                                              page_blocks * kBloomBlockBytes + sizeof(uint32_t)));
  const auto filter = std::span(bytes).first(page_blocks * kBloomBlockBytes);
  STENO_CHECK_OK(
      file_.CheckPart(filter, LoadLe<uint32_t>(bytes.data() + filter.size()), "page of the address filter"));
  return !BloomMayHold(filter.subspan(size_t{block % kBloomBlocksPerPage} * kBloomBlockBytes), hash);
}

Status Matcher::CollectAddressHits(AddressHits& hits) const {
  STENO_TRY(const auto fences, ReadFences(file_));
  // The range may begin inside the page before the first one that begins after it.
  auto fence = std::ranges::upper_bound(fences, term_.addresses.first, {}, FirstAddress);
  if (fence != fences.begin()) --fence;
  for (; fence != fences.end() && FirstAddress(*fence) <= term_.addresses.last; ++fence) {
    if (fence->family != term_.addresses.first.family) continue;
    STENO_TRY(const Bytes page,
              file_.ReadPart(SectionId::kAddressPages, fence->page_offset, fence->page_bytes));
    STENO_CHECK_OK(file_.CheckPart(page, fence->page_crc, "address page"));
    const uint64_t references_at = uint64_t{fence->page_offset} + fence->page_bytes;
    STENO_TRY(const Bytes references,
              file_.ReadPart(SectionId::kAddressPages, references_at, fence->references_bytes));
    STENO_CHECK_OK(file_.CheckPart(references, fence->references_crc, "references of an address page"));
    STENO_CHECK_OK(CollectHits(*fence, page, references, term_.addresses, flows_, hits));
  }
  return {};
}

Status Matcher::MatchAddress() {
  AddressHits hits;
  STENO_TRY(const bool misses, BloomMisses());
  if (!misses) STENO_CHECK_OK(CollectAddressHits(hits));
  FlowSet as_first(flows_);
  FlowSet elsewhere(flows_);
  for (const auto& [first, end] : hits.first_runs) as_first.AddRange(first, end);
  for (const uint32_t flow : hits.references) elsewhere.Add(flow);

  FlowSet either = as_first;
  either.Or(elsewhere);
  FlowSet both = as_first;
  both.And(elsewhere);
  either.ForEach([&](uint32_t flow) {
    if (flow < plain_end_ && PlainCounts(flow)) AddByEnds(flow, both.Has(flow) ? 2 : 1);
  });
  return MatchGeneral(&elsewhere);
}

// Evaluates the term on the keys of the general flows: of all, or of those `among` some and of those that may
// match anything.
Status Matcher::MatchGeneral(const FlowSet* among) {
  if (plain_end_ == flows_) return {};
  FlowSet wanted(flows_);
  if (among == nullptr) {
    wanted.AddRange(plain_end_, flows_);
  } else {
    STENO_TRY(const auto open_bytes, file_.Section(SectionId::kOpenFlows));
    STENO_TRY(const auto open, DecodeOpenFlows(open_bytes, flows_));
    among->ForEach([&](uint32_t flow) {
      if (flow >= plain_end_) wanted.Add(flow);
    });
    for (const uint32_t flow : open) wanted.Add(flow);
  }
  if (candidates_ != nullptr) wanted.And(*candidates_);
  if (wanted.Empty()) return {};
  STENO_TRY(const auto bytes, file_.Section(SectionId::kGeneralKeys));
  GeneralKeyReader keys(bytes);
  PacketHeaders headers;
  for (uint32_t flow = plain_end_; flow < flows_; ++flow) {
    STENO_TRY(const auto key, keys.Next());
    if (!wanted.Has(flow)) continue;
    const Tri answer =
        ParseFlowKey(FlowKind::kGeneral, key, headers) ? MatchesFlow(term_, headers) : Tri::kMaybe;
    if (answer != Tri::kNo) match_.may.Add(flow);
    if (answer == Tri::kYes) match_.must.Add(flow);
  }
  return {};
}

}  // namespace

Result<FlowMatch> MatchSealed(const SealedFile& file, const Term& term, const FlowSet* candidates) {
  return Matcher(file, term, candidates).Run();
}

}  // namespace steno
