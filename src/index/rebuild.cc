#include <algorithm>
#include <span>
#include <vector>

#include "base/mapping.h"
#include "index/builder.h"
#include "index/raw_index.h"
#include "index/sealed_file.h"
#include "index/sealer.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

// Enough for flows of the most layers. Touched as used.
constexpr size_t kScratchBytes = 256 << 20;

Status AddBlocks(const PacketFile& file, std::span<const BlockEntry> blocks, const RebuildOptions& options,
                 IndexBuilder& builder) {
  std::vector<uint8_t> bytes;
  for (const BlockEntry& block : blocks) {
    if (options.before_read && !options.before_read(block.used_bytes))
      return Fail(Error{ErrorCode::kCancelled, 0, 0, file.path() + ": indexing was given up"});
    bytes.resize(block.used_bytes);
    STENO_CHECK_OK(file.Read(bytes, block.file_offset));
    builder.AddBlock(bytes, block.file_offset, block.drops);
  }
  return {};
}

}  // namespace

Status RebuildIndex(const std::string& packet_path, const std::string& index_directory,
                    const std::string& name, const RebuildOptions& options) {
  STENO_TRY(const PacketFile file, PacketFile::Open(packet_path));
  STENO_TRY(const BlockTable table, file.WalkBlocks());
  const std::span<const BlockEntry> blocks =
      std::span(table.blocks)
          .first(std::min({table.blocks.size(), options.max_blocks, size_t{kSegmentMaxBlocks}}));
  STENO_TRY(const Mapping memory, Mapping::Anonymous(SegmentBytes()));
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  STENO_TRY(const FileIdentity identity, ReadFileIdentity(file));
  segment.Reset(table.file_id, identity.file_tag, {});
  STENO_TRY(IndexBuilder builder, IndexBuilder::Create());
  builder.Begin(&segment, options.max_pairs);
  STENO_CHECK_OK(AddBlocks(file, blocks, options, builder));
  builder.Publish(static_cast<uint32_t>(blocks.size()));
  STENO_TRY(const SegmentSnapshot snapshot, SegmentSnapshot::Take(segment));
  STENO_TRY(Sealer sealer, Sealer::Create(kScratchBytes));
  return sealer.Seal(snapshot, index_directory, name);
}

Status CompactIndex(const std::string& directory, const std::string& name) {
  STENO_TRY(auto file, SealedFile::Open(directory + "/" + name));
  STENO_TRY(const auto raw, RawSegment::Load(std::move(file)));
  STENO_TRY(Sealer sealer, Sealer::Create(kScratchBytes));
  return sealer.Seal(raw->snapshot(), directory, name);
}

}  // namespace steno
