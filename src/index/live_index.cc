#include "index/live_index.h"

#include <algorithm>

#include "packet/flow_key.h"

namespace steno {
namespace {

class LiveIndex : public FlowIndex {
 public:
  LiveIndex(const SegmentMemory& segment, const SegmentSnapshot& snapshot)
      : segment_(segment),
        snapshot_(snapshot),
        first_packets_(snapshot.granule_first_packet.begin(), snapshot.granule_first_packet.end()) {
    blocks_.reserve(snapshot.blocks.size());
    for (const LiveBlock& block : snapshot.blocks) blocks_.push_back(block.entry);
  }

  [[nodiscard]] uint32_t flow_count() const override {
    return static_cast<uint32_t>(snapshot_.flow_refs.size());
  }
  [[nodiscard]] std::span<const BlockEntry> blocks() const override { return blocks_; }

  [[nodiscard]] Result<FlowMatch> Match(const Term& term) const override {
    FlowMatch match{FlowSet(flow_count()), FlowSet(flow_count())};
    FlowKey key;
    PacketHeaders headers;
    for (uint32_t flow = 0; flow < flow_count(); ++flow) {
      Tri answer = Tri::kMaybe;
      if (snapshot_.CopyKey(flow, key) && ParseFlowKey(key.kind, key.view(), headers)) {
        answer = MatchesFlow(term, headers);
      }
      if (answer != Tri::kNo) match.may.Add(flow);
      if (answer == Tri::kYes) match.must.Add(flow);
    }
    STENO_CHECK_OK(CheckStillValid());
    return match;
  }

  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override {
    std::vector<uint32_t> granules;
    const auto& starts = snapshot_.granule_starts;
    const uint64_t pairs = snapshot_.pairs.size();
    const uint32_t known_flows = std::min(flows.size(), flow_count());
    for (uint32_t granule = 0; granule < starts.size(); ++granule) {
      const uint64_t end =
          granule + 1 < starts.size() ? std::min<uint64_t>(starts[granule + 1], pairs) : pairs;
      for (uint64_t pair = starts[granule]; pair < end; ++pair) {
        const uint32_t flow = __atomic_load_n(&snapshot_.pairs[pair], __ATOMIC_RELAXED);
        if (flow < known_flows && flows.Has(flow)) {
          granules.push_back(granule);
          break;
        }
      }
    }
    STENO_CHECK_OK(CheckStillValid());
    return granules;
  }

  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override {
    return granule < first_packets_.size() ? first_packets_[granule] : kNoPacketInGranule;
  }

  [[nodiscard]] Status CheckStillValid() const {
    if (snapshot_.StillValid(segment_)) return {};
    return Fail(
        Error{ErrorCode::kCancelled, 0, 0, "live index: its file was completed and sealed meanwhile"});
  }

 private:
  const SegmentMemory& segment_;
  SegmentSnapshot snapshot_;
  std::vector<BlockEntry> blocks_;
  std::vector<uint16_t> first_packets_;
};

}  // namespace

Result<std::unique_ptr<FlowIndex>> MakeLiveIndex(const SegmentMemory& segment) {
  STENO_TRY(const SegmentSnapshot snapshot, SegmentSnapshot::Take(segment));
  auto index = std::make_unique<LiveIndex>(segment, snapshot);
  STENO_CHECK_OK(index->CheckStillValid());
  return index;
}

}  // namespace steno
