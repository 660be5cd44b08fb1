#include "query/live_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "index/live_index.h"
#include "storage/file_names.h"
#include "storage/output_file.h"

namespace steno {
namespace {

// A file whose name was taken when it was published has one of the next names that were free, in steps of at
// most this many microseconds: the capture threads of a process.
constexpr uint64_t kMaxNameStep = 256;

}  // namespace

Result<std::shared_ptr<const LiveFile>> LiveFile::Take(const StoreDirectory& directory, uint32_t thread,
                                                       std::shared_ptr<const Arena> arena, unsigned segment,
                                                       std::shared_ptr<ProblemLog> log) {
  const SegmentMemory& memory = arena->segment(segment);
  // The state comes first: a segment that is being sealed by now has no blocks to come after the snapshot.
  const uint32_t state = memory.header->state.load(std::memory_order_acquire);
  auto snapshot = SegmentSnapshot::Take(memory);
  if (!snapshot && snapshot.error().code == ErrorCode::kNotFound) return nullptr;
  if (!snapshot) return Fail(std::move(snapshot).error());

  const std::shared_ptr<LiveFile> live(new LiveFile);
  const std::string hidden_name(snapshot->hidden_name);
  std::vector<BlockEntry> blocks;
  for (const LiveBlock& block : snapshot->blocks) blocks.push_back(block.entry);
  live->times_ = SpanOf(blocks);
  for (const BlockEntry& block : blocks)
    live->end_ = std::max(live->end_, block.file_offset + AlignUp(block.used_bytes, kDiskAlignment));
  // A segment that was reset while it was looked at belonged to a file that is published by now.
  if (blocks.empty() || !snapshot->StillValid(memory)) return nullptr;
  if (!IsHiddenPacketFileName(hidden_name)) {
    return Fail(Error::Corrupt(
        fmt::format("live segment {} of thread {}: \"{}\" is not the name of a hidden packet file", segment,
                    thread, hidden_name)));
  }
  live->directory_ = directory;
  live->thread_ = thread;
  live->arena_ = std::move(arena);
  live->segment_ = segment;
  live->snapshot_ = *snapshot;
  live->hidden_path_ = directory.packets_directory + "/" + hidden_name;
  live->file_id_ = snapshot->file_id;
  live->file_tag_ = snapshot->file_tag;
  live->complete_ = state == static_cast<uint32_t>(SegmentState::kSealing);
  live->log_ = std::move(log);
  return live;
}

Result<OpenedFile> LiveFile::Open() const {
  const SegmentMemory& memory = arena_->segment(segment_);
  auto index = MakeLiveIndex(memory);
  // Only if the segment still is this file's now it was while the index was made.
  if (!snapshot_.StillValid(memory)) return OpenSealed();
  if (!index && index.error().code == ErrorCode::kNotFound) {
    // The segment is free, so the file is published, unless that failed.
    auto sealed = OpenSealed();
    if (sealed || !IsGone(sealed.error())) return sealed;
  }
  if (!index) return OpenForScan(index.error());
  STENO_TRY(PacketFile file, OpenPackets());
  STENO_TRY(const FileIdentity identity, ReadFileIdentity(file));
  OpenedFile opened;
  opened.file = std::make_unique<PacketFile>(std::move(file));
  opened.index = std::move(*index);
  opened.blocks.assign(opened.index->blocks().begin(), opened.index->blocks().end());
  opened.origin = OriginOf(identity, thread_);
  CutToSnapshot(opened);
  return opened;
}

Result<OpenedFile> LiveFile::OpenForScan(const Error&) const {
  STENO_TRY(PacketFile file, OpenPackets());
  STENO_TRY(BlockTable table, file.WalkBlocks(end_));
  OpenedFile opened;
  opened.file = std::make_unique<PacketFile>(std::move(file));
  opened.blocks = std::move(table.blocks);
  opened.origin = {table.interface_name, thread_, table.link_type, 0};
  CutToSnapshot(opened);
  return opened;
}

Result<OpenedFile> LiveFile::OpenSealed() const {
  STENO_TRY(const std::shared_ptr<const PublishedFile> sealed, FindSealed());
  STENO_TRY(OpenedFile opened, sealed->Open());
  CutToSnapshot(opened);
  return opened;
}

// The file under its hidden name, or under its final one if it was published meanwhile.
Result<PacketFile> LiveFile::OpenPackets() const {
  Result<PacketFile> hidden = PacketFile::Open(hidden_path_);
  if (hidden) {
    STENO_TRY(const FileIdentity identity, ReadFileIdentity(*hidden));
    if (identity.ours && identity.file_tag == file_tag_) return hidden;
  } else if (!IsGone(hidden.error())) {
    return hidden;
  }
  STENO_TRY(const std::shared_ptr<const PublishedFile> sealed, FindSealed());
  return PacketFile::Open(sealed->path());
}

Result<std::shared_ptr<const PublishedFile>> LiveFile::FindSealed() const {
  STENO_TRY(const std::vector<std::string> entries, ListDirectory(directory_.packets_directory));
  const std::vector<NamedFile> files = SelectPacketFiles(entries);
  // Files that begin at the same time (all those without times) have names one behind the other.
  const uint64_t reach = kMaxNameStep * (files.size() + 1);
  for (auto file = std::ranges::lower_bound(files, file_id_, {}, &NamedFile::id);
       file != files.end() && file->id - file_id_ < reach; ++file) {
    auto sealed = PublishedFile::Load(directory_, thread_, file->name, log_);
    if (sealed && (*sealed)->file_tag() == file_tag_) return sealed;
    if (!sealed && !IsGone(sealed.error())) return sealed;
  }
  return Fail(Error::NotFound(fmt::format("{}: neither there nor published as {}/{}", hidden_path_,
                                          directory_.packets_directory, file_id_)));
}

void LiveFile::CutToSnapshot(OpenedFile& opened) const {
  std::erase_if(opened.blocks, [this](const BlockEntry& block) { return block.file_offset >= end_; });
}

}  // namespace steno
