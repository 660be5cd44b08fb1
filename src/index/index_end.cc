#include "index/index_end.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "index/block_table.h"

namespace steno {

IndexFooter SummarizeSegment(const SegmentSnapshot& segment) {
  IndexFooter footer{};
  footer.file_id = segment.file_id;
  footer.file_tag = segment.file_tag;
  footer.granules = static_cast<uint32_t>(segment.granule_first_packet.size());
  footer.blocks = static_cast<uint32_t>(segment.blocks.size());
  for (const LiveBlock& live : segment.blocks) {
    const BlockEntry& block = live.entry;
    footer.packet_file_bytes =
        std::max(footer.packet_file_bytes, block.file_offset + AlignUp(block.used_bytes, kDiskAlignment));
    if ((block.flags & kBlockUnindexed) != 0) {
      footer.flags |= kIndexOpen;
      footer.pairs_when_full = static_cast<uint32_t>(segment.pairs.size());
    }
    if (block.packet_count == 0) continue;
    const bool first = footer.packets == 0;
    footer.first_ns = first ? block.first_ns : std::min(footer.first_ns, block.first_ns);
    footer.last_ns = first ? block.last_ns : std::max(footer.last_ns, block.last_ns);
    footer.packets += block.packet_count;
  }
  return footer;
}

Status FinishIndex(const SegmentSnapshot& segment, const IndexFooter& footer, SealedWriter& writer) {
  std::vector<BlockEntry> blocks;
  blocks.reserve(segment.blocks.size());
  for (const LiveBlock& block : segment.blocks) blocks.push_back(block.entry);
  STENO_CHECK_OK(writer.Add(SectionId::kBlocks, EncodeBlockTable(blocks)));
  return writer.Finish(footer);
}

}  // namespace steno
