#include "index/sealed_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "index/block_table.h"
#include "index/granule_table.h"
#include "index/postings.h"
#include "index/raw_index.h"
#include "index/sealed_file.h"
#include "index/sealed_matcher.h"
#include "index/segment.h"

namespace steno {
namespace {

// Posting groups closer than this are fetched in one read.
constexpr uint64_t kMaxGapBytes = 16 * 1024;
constexpr uint64_t kMaxReadBytes = 1 << 20;

class SealedIndex : public FlowIndex {
 public:
  SealedIndex(std::unique_ptr<SealedFile> file, std::vector<BlockEntry> blocks)
      : file_(std::move(file)), blocks_(std::move(blocks)) {}

  [[nodiscard]] uint32_t flow_count() const override { return file_->footer().flows; }
  [[nodiscard]] std::span<const BlockEntry> blocks() const override { return blocks_; }

  [[nodiscard]] Result<FlowMatch> MatchAmong(const Term& term, const FlowSet* candidates) const override {
    return MatchSealed(*file_, term, candidates).map_error([this](Error error) {
      return WithPath(std::move(error));
    });
  }

  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override {
    return FindGranules(flows).map_error([this](Error error) { return WithPath(std::move(error)); });
  }

  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override {
    // Granules() has told of a failure.
    if (!LoadGranules()) return kNoPacketInGranule;
    return granule < first_packets_.size() ? first_packets_[granule] : kNoPacketInGranule;
  }

 private:
  [[nodiscard]] Error WithPath(Error error) const {
    if (error.message.find(file_->path()) != std::string::npos) return error;
    return std::move(error).With("index " + file_->path());
  }
  [[nodiscard]] Result<std::vector<uint32_t>> FindGranules(const FlowSet& flows) const;
  [[nodiscard]] Result<std::vector<PostingGroup>> LoadGroups() const;
  [[nodiscard]] Status ReadGroup(std::span<const uint8_t> group, uint32_t number, const FlowSet& flows,
                                 FlowSet& granules) const;
  [[nodiscard]] Status LoadGranules() const;
  [[nodiscard]] Status ReadGranules() const;

  std::unique_ptr<SealedFile> file_;
  std::vector<BlockEntry> blocks_;
  mutable std::once_flag granules_once_;
  mutable Status granules_status_;
  mutable std::vector<uint16_t> first_packets_;
};

Status SealedIndex::LoadGranules() const {
  std::call_once(granules_once_, [this] { granules_status_ = ReadGranules(); });
  return granules_status_;
}

Status SealedIndex::ReadGranules() const {
  STENO_TRY(const auto bytes, file_->Section(SectionId::kGranules));
  auto first_packets = DecodeGranules(bytes, file_->footer().granules);
  if (!first_packets) return Fail(file_->Corrupt(first_packets.error().message));
  first_packets_ = std::move(*first_packets);
  return {};
}

Result<std::vector<PostingGroup>> SealedIndex::LoadGroups() const {
  STENO_TRY(const auto bytes, file_->Section(SectionId::kPostingGroups));
  const size_t expected = (uint64_t{flow_count()} + kFlowsPerPostingGroup - 1) / kFlowsPerPostingGroup;
  if (bytes.size() != expected * sizeof(PostingGroup))
    return Fail(file_->Corrupt("posting groups: broken length"));
  std::vector<PostingGroup> groups(expected + 1);
  if (!bytes.empty()) std::memcpy(groups.data(), bytes.data(), bytes.size());
  groups.back().offset = static_cast<uint32_t>(file_->SectionBytes(SectionId::kPostings));
  for (size_t i = 0; i + 1 < groups.size(); ++i) {
    if (groups[i].offset > groups[i + 1].offset) return Fail(file_->Corrupt("posting groups: out of order"));
  }
  return groups;
}

// Adds the granules of the group's flows that are in `flows`.
Status SealedIndex::ReadGroup(std::span<const uint8_t> group, uint32_t number, const FlowSet& flows,
                              FlowSet& granules) const {
  const uint32_t first_flow = number * kFlowsPerPostingGroup;
  uint32_t last = std::min(kFlowsPerPostingGroup, flow_count() - first_flow) - 1;
  while (last > 0 && !flows.Has(first_flow + last)) --last;
  return DecodePostingGroup(group, last, granules.size(), [&](uint32_t flow, uint32_t granule) {
    if (flows.Has(first_flow + flow)) granules.Add(granule);
  });
}

Result<std::vector<uint32_t>> SealedIndex::FindGranules(const FlowSet& flows) const {
  if (flows.size() != flow_count()) {
    return Fail(
        Error::Invalid(fmt::format("a set of {} flows for an index of {}", flows.size(), flow_count())));
  }
  STENO_CHECK_OK(LoadGranules());
  std::vector<uint32_t> needed;
  flows.ForEach([&](uint32_t flow) {
    const uint32_t group = flow / kFlowsPerPostingGroup;
    if (needed.empty() || needed.back() != group) needed.push_back(group);
  });
  if (needed.empty()) return std::vector<uint32_t>{};
  STENO_TRY(const auto groups, LoadGroups());
  FlowSet granules(file_->footer().granules);
  for (size_t first = 0; first < needed.size();) {
    const uint32_t begin = groups[needed[first]].offset;
    size_t end = first + 1;
    while (end < needed.size() &&
           groups[needed[end]].offset - groups[needed[end - 1] + 1].offset <= kMaxGapBytes &&
           groups[needed[end] + 1].offset - begin <= kMaxReadBytes) {
      ++end;
    }
    STENO_TRY(const Bytes piece,
              file_->ReadPart(SectionId::kPostings, begin, groups[needed[end - 1] + 1].offset - begin));
    for (; first < end; ++first) {
      const PostingGroup& group = groups[needed[first]];
      const auto bytes =
          std::span(piece).subspan(group.offset - begin, groups[needed[first] + 1].offset - group.offset);
      STENO_CHECK_OK(file_->CheckPart(bytes, group.crc, "group of postings"));
      STENO_CHECK_OK(ReadGroup(bytes, needed[first], flows, granules));
    }
  }
  std::vector<uint32_t> result;
  result.reserve(granules.Count());
  granules.ForEach([&](uint32_t granule) { result.push_back(granule); });
  return result;
}

}  // namespace

Status CheckIndexFile(const std::string& path) {
  STENO_TRY(const auto file, SealedFile::Open(path));
  for (uint32_t id = 1; id <= static_cast<uint32_t>(SectionId::kCount); ++id) {
    STENO_CHECK_OK(file->Section(static_cast<SectionId>(id)));
  }
  return {};
}

Result<std::unique_ptr<FlowIndex>> OpenSealedIndex(const std::string& path, bool verify_checksums) {
  STENO_TRY(auto file, SealedFile::Open(path, verify_checksums));
  if (file->raw()) {
    STENO_TRY(auto segment, RawSegment::Load(std::move(file)));
    return MakeRawIndex(std::move(segment));
  }
  STENO_TRY(const auto bytes, file->Section(SectionId::kBlocks));
  auto blocks = DecodeBlockTable(bytes, file->footer().blocks);
  if (!blocks) return Fail(std::move(blocks).error().With("index " + path));
  return std::make_unique<SealedIndex>(std::move(file), std::move(*blocks));
}

}  // namespace steno
