#include <fmt/format.h>

#include <cstring>
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

// The random tag in the header of the file's first block; 0 for a foreign file, which has none.
Result<uint64_t> ReadFileTag(const PacketFile& file, const BlockTable& table) {
  if (table.foreign || table.blocks.empty()) return uint64_t{0};
  BlockHeader header;
  STENO_CHECK_OK(file.Read({reinterpret_cast<uint8_t*>(&header), sizeof header},
                           table.blocks.front().file_offset + kKernelHeaderBytes));
  return header.file_tag;
}

Status AddBlocks(const PacketFile& file, const BlockTable& table, IndexBuilder& builder) {
  std::vector<uint8_t> bytes;
  for (const BlockEntry& block : table.blocks) {
    bytes.resize(block.used_bytes);
    STENO_CHECK_OK(file.Read(bytes, block.file_offset));
    builder.AddBlock(bytes, block.file_offset, block.drops);
  }
  return {};
}

}  // namespace

Status RebuildIndex(const std::string& packet_path, const std::string& index_directory,
                    const std::string& name) {
  STENO_TRY(const PacketFile file, PacketFile::Open(packet_path));
  STENO_TRY(const BlockTable table, file.WalkBlocks());
  if (table.blocks.size() > kSegmentMaxBlocks) {
    return Fail(Error::Exhausted(fmt::format("rebuild the index of {}: {} blocks, an index holds {}",
                                             packet_path, table.blocks.size(), kSegmentMaxBlocks)));
  }
  STENO_TRY(const Mapping memory, Mapping::Anonymous(SegmentBytes()));
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  STENO_TRY(const uint64_t file_tag, ReadFileTag(file, table));
  segment.Reset(table.file_id, file_tag, {});
  STENO_TRY(IndexBuilder builder, IndexBuilder::Create());
  builder.Begin(&segment);
  STENO_CHECK_OK(AddBlocks(file, table, builder));
  builder.Publish(static_cast<uint32_t>(table.blocks.size()));
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
