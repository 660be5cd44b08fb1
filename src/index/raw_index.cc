#include "index/raw_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "index/block_table.h"
#include "index/granule_table.h"
#include "index/index_end.h"
#include "index/sealed_writer.h"
#include "index/segment_scan.h"

namespace steno {
namespace {

template <class T>
std::span<const uint8_t> BytesOf(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

// A section that is an array of numbers.
template <class T>
Result<std::span<const T>> ArraySection(const SealedFile& file, SectionId id) {
  STENO_TRY(const auto bytes, file.Section(id));
  if (bytes.size() % sizeof(T) != 0)
    return Fail(file.Corrupt(fmt::format("section {}: broken length", static_cast<uint32_t>(id))));
  return std::span<const T>(reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T));
}

class RawIndex final : public FlowIndex {
 public:
  explicit RawIndex(std::unique_ptr<RawSegment> segment) : segment_(std::move(segment)) {
    for (const LiveBlock& block : segment_->snapshot().blocks) blocks_.push_back(block.entry);
  }

  [[nodiscard]] uint32_t flow_count() const override {
    return static_cast<uint32_t>(segment_->snapshot().flow_refs.size());
  }
  [[nodiscard]] std::span<const BlockEntry> blocks() const override { return blocks_; }
  [[nodiscard]] Result<FlowMatch> MatchAmong(const Term& term, const FlowSet* candidates) const override {
    return ScanFlows(segment_->snapshot(), term, candidates);
  }
  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override {
    return ScanGranules(segment_->snapshot(), flows);
  }
  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override {
    const auto& first_packets = segment_->snapshot().granule_first_packet;
    return granule < first_packets.size() ? first_packets[granule] : kNoPacketInGranule;
  }

 private:
  std::unique_ptr<RawSegment> segment_;
  std::vector<BlockEntry> blocks_;
};

Status WriteArrays(const SegmentSnapshot& segment, SealedWriter& writer) {
  STENO_CHECK_OK(writer.Add(SectionId::kRawFlows, BytesOf(segment.flow_refs)));
  STENO_CHECK_OK(writer.Add(SectionId::kRawKeys, segment.key_heap));
  STENO_CHECK_OK(writer.Add(SectionId::kRawPairs, BytesOf(segment.pairs)));
  STENO_CHECK_OK(writer.Add(SectionId::kRawGranuleStarts, BytesOf(segment.granule_starts)));
  STENO_CHECK_OK(writer.Add(SectionId::kGranules, EncodeGranules(segment.granule_first_packet)));
  IndexFooter footer = SummarizeSegment(segment);
  footer.flags |= kIndexRaw;
  footer.flows = static_cast<uint32_t>(segment.flow_refs.size());
  return FinishIndex(segment, footer, writer);
}

}  // namespace

Status WriteRawIndex(const SegmentSnapshot& segment, const std::string& directory, const std::string& name) {
  const auto write = [&]() -> Status {
    STENO_TRY(SealedWriter writer, SealedWriter::Create(directory, name, segment.file_id, segment.file_tag));
    return WriteArrays(segment, writer);
  };
  return write().map_error(
      [&](Error error) { return std::move(error).With(fmt::format("raw index {}/{}", directory, name)); });
}

Result<std::unique_ptr<RawSegment>> RawSegment::Load(std::unique_ptr<SealedFile> file) {
  if (!file->raw()) return Fail(Error::Invalid(fmt::format("index {}: is not raw", file->path())));
  std::unique_ptr<RawSegment> segment(new RawSegment(std::move(file)));
  STENO_CHECK_OK(segment->LoadArrays());
  STENO_CHECK_OK(segment->LoadBlocks());
  return segment;
}

Status RawSegment::LoadArrays() {
  const IndexFooter& footer = file_->footer();
  snapshot_.file_id = footer.file_id;
  snapshot_.file_tag = footer.file_tag;
  STENO_TRY(snapshot_.flow_refs, ArraySection<FlowRef>(*file_, SectionId::kRawFlows));
  STENO_TRY(snapshot_.key_heap, file_->Section(SectionId::kRawKeys));
  STENO_TRY(snapshot_.pairs, ArraySection<uint32_t>(*file_, SectionId::kRawPairs));
  STENO_TRY(snapshot_.granule_starts, ArraySection<uint32_t>(*file_, SectionId::kRawGranuleStarts));
  if (snapshot_.flow_refs.size() != footer.flows || snapshot_.granule_starts.size() != footer.granules ||
      snapshot_.pairs.size() > UINT32_MAX) {
    return Fail(file_->Corrupt("arrays of impossible lengths"));
  }
  STENO_TRY(const auto granules, file_->Section(SectionId::kGranules));
  STENO_TRY(granule_first_packet_, DecodeGranules(granules, footer.granules));
  snapshot_.granule_first_packet = granule_first_packet_;
  return {};
}

Status RawSegment::LoadBlocks() {
  STENO_TRY(const auto bytes, file_->Section(SectionId::kBlocks));
  STENO_TRY(const auto entries, DecodeBlockTable(bytes, file_->footer().blocks));
  for (const BlockEntry& entry : entries)
    blocks_.push_back({.entry = entry, .flow_count = 0, .key_bytes = 0, .pair_count = 0, .granule_count = 0});
  snapshot_.blocks = blocks_;
  return {};
}

std::unique_ptr<FlowIndex> MakeRawIndex(std::unique_ptr<RawSegment> segment) {
  return std::make_unique<RawIndex>(std::move(segment));
}

}  // namespace steno
