#include "index/live_index.h"

#include "index/segment_scan.h"

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

  [[nodiscard]] Result<FlowMatch> MatchAmong(const Term& term, const FlowSet* candidates) const override {
    FlowMatch match = ScanFlows(snapshot_, term, candidates);
    STENO_CHECK_OK(CheckStillValid());
    return match;
  }

  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override {
    std::vector<uint32_t> granules = ScanGranules(snapshot_, flows);
    STENO_CHECK_OK(CheckStillValid());
    return granules;
  }

  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override {
    return granule < first_packets_.size() ? first_packets_[granule] : kNoPacketInGranule;
  }

  [[nodiscard]] Status CheckStillValid() const {
    if (snapshot_.StillValid(segment_)) return {};
    return Fail(Error{ErrorCode::kStale, 0, 0, "live index: its file was completed and sealed meanwhile"});
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
