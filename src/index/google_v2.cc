#include "index/google_v2.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "index/google_v2_table.h"
#include "index/segment.h"
#include "packet/wire.h"

namespace steno {
namespace {

// Protocols behind which there may be another layer, or ports, that the incumbent did not look for.
constexpr std::array<uint8_t, 11> kDeepProtocols = {
    wire::kIpHopByHop, wire::kIpIpv4, wire::kIpIpv6, wire::kIpRouting,
    wire::kIpFragment, wire::kIpGre,  wire::kIpAh,   wire::kIpDestination,
    wire::kIpMobility, wire::kIpHip,  wire::kIpShim6};
constexpr std::array<uint16_t, 3> kDeepPorts = {wire::kPortGtpU, wire::kPortVxlan, wire::kPortGeneve};

bool AsksForArp(const Term& term) {
  if (term.kind == TermKind::kLayer) return term.layer_kinds == kLayerBitArp;
  return term.kind == TermKind::kEtherType && term.first == wire::kEtherArp && term.last == wire::kEtherArp;
}

// Gaps that were given up are empty: their blocks are read whole.
void AddGap(const FlowSet& gap, FlowSet& set) {
  if (gap.size() == set.size()) set.Or(gap);
}

class GoogleIndex final : public FlowIndex {
 public:
  GoogleIndex(std::unique_ptr<GoogleTable> table, std::shared_ptr<const GoogleGaps> gaps, uint32_t granules)
      : table_(std::move(table)),
        gaps_(std::move(gaps)),
        granules_(granules),
        first_packet_(gaps_->first_packet) {
    if (first_packet_.empty()) first_packet_.assign(granules, kNoPacketInGranule);
  }

  [[nodiscard]] uint32_t flow_count() const override { return granules_; }
  [[nodiscard]] std::span<const BlockEntry> blocks() const override { return gaps_->blocks; }
  [[nodiscard]] Result<FlowMatch> MatchAmong(const Term& term, const FlowSet* candidates) const override;
  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override;
  // Where the gaps do not tell: the first that any term has named. No other of the granule is asked for.
  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override;

 private:
  Status Add(const std::string& first, const std::string& last, FlowSet& set) const;
  Status AddDeep(FlowSet& set) const;

  const std::unique_ptr<GoogleTable> table_;
  const std::shared_ptr<const GoogleGaps> gaps_;
  const uint32_t granules_;
  mutable std::mutex mutex_;
  mutable std::vector<uint16_t> first_packet_;  // guarded by mutex_, as is deep_
  mutable std::optional<FlowSet> deep_;         // what every term may match
};

// REQUIRES: mutex_ is held.
Status GoogleIndex::Add(const std::string& first, const std::string& last, FlowSet& set) const {
  bool outside = false;
  STENO_CHECK_OK(table_->Scan(first, last, [&](uint32_t position) {
    const uint64_t granule = position / kGranuleBytes;
    if (granule >= granules_) {
      outside = true;
      return;
    }
    set.Add(static_cast<uint32_t>(granule));
    uint16_t& at = first_packet_[granule];
    at = std::min(at, static_cast<uint16_t>(position % kGranuleBytes));
  }));
  if (outside)
    return Fail(Error::Corrupt("an index of the incumbent names packets behind the end of the file"));
  return {};
}

Status GoogleIndex::AddDeep(FlowSet& set) const {
  if (!deep_) {
    FlowSet deep(granules_);
    for (const uint8_t protocol : kDeepProtocols) {
      const std::string key = GoogleKey(kProtocolKey, protocol, 1);
      STENO_CHECK_OK(Add(key, key, deep));
    }
    for (const uint16_t port : kDeepPorts) {
      const std::string key = GoogleKey(kPortKey, port, 2);
      STENO_CHECK_OK(Add(key, key, deep));
    }
    STENO_CHECK_OK(Add(GoogleKey(kMplsKey, 0, 4), GoogleKey(kMplsKey, UINT32_MAX, 4), deep));
    deep_ = std::move(deep);
  }
  set.Or(*deep_);
  return {};
}

Result<FlowMatch> GoogleIndex::MatchAmong(const Term& term, const FlowSet*) const {
  const std::lock_guard lock(mutex_);
  // A granule is more than one flow: nothing is true of all its packets.
  FlowMatch match{FlowSet(granules_), FlowSet(granules_)};
  switch (term.kind) {
    case TermKind::kAddress:
      STENO_CHECK_OK(Add(GoogleKey(term.addresses.first), GoogleKey(term.addresses.last), match.may));
      AddGap(gaps_->arp, match.may);
      break;
    case TermKind::kPort: {
      STENO_CHECK_OK(Add(GoogleKey(kPortKey, term.first, 2), GoogleKey(kPortKey, term.last, 2), match.may));
      const std::string sctp = GoogleKey(kProtocolKey, wire::kIpSctp, 1);  // has ports that it does not know
      STENO_CHECK_OK(Add(sctp, sctp, match.may));
      AddGap(gaps_->portless, match.may);
      break;
    }
    case TermKind::kProtocol:
      STENO_CHECK_OK(
          Add(GoogleKey(kProtocolKey, term.first, 1), GoogleKey(kProtocolKey, term.last, 1), match.may));
      break;
    default:
      if (AsksForArp(term)) {
        AddGap(gaps_->arp, match.may);
        break;
      }
      match.may = FlowSet(granules_, true);  // headers of which it knows nothing, or too little
      return match;
  }
  AddGap(gaps_->unlisted, match.may);
  STENO_CHECK_OK(AddDeep(match.may));
  return match;
}

Result<std::vector<uint32_t>> GoogleIndex::Granules(const FlowSet& flows) const {
  std::vector<uint32_t> granules;
  flows.ForEach([&](uint32_t granule) { granules.push_back(granule); });
  return granules;
}

uint16_t GoogleIndex::FirstPacket(uint32_t granule) const {
  const std::lock_guard lock(mutex_);
  return granule < granules_ ? first_packet_[granule] : kNoPacketInGranule;
}

}  // namespace

Result<std::unique_ptr<FlowIndex>> OpenGoogleIndex(const std::string& path,
                                                   std::shared_ptr<const GoogleGaps> gaps) {
  STENO_TRY(std::unique_ptr<GoogleTable> table, GoogleTable::Open(path));
  const auto granules = static_cast<uint32_t>(CountGranules(gaps->blocks));
  return std::unique_ptr<FlowIndex>(
      std::make_unique<GoogleIndex>(std::move(table), std::move(gaps), granules));
}

}  // namespace steno
