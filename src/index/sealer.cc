#include "index/sealer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "index/address_dictionary.h"
#include "index/block_table.h"
#include "index/flow_columns.h"
#include "index/flow_order.h"
#include "index/packed_column.h"
#include "index/postings.h"
#include "index/sealed_writer.h"

namespace steno {
namespace {

// What the blocks say about the whole file.
IndexFooter SummarizeBlocks(const SegmentSnapshot& segment, std::span<const BlockEntry> blocks) {
  IndexFooter footer{};
  footer.file_id = segment.file_id;
  footer.file_tag = segment.file_tag;
  for (const BlockEntry& block : blocks) {
    footer.packet_file_bytes =
        std::max(footer.packet_file_bytes, block.file_offset + AlignUp(block.used_bytes, kDiskAlignment));
    if (block.packet_count == 0) continue;
    const bool first = footer.packets == 0;
    footer.first_ns = first ? block.first_ns : std::min(footer.first_ns, block.first_ns);
    footer.last_ns = first ? block.last_ns : std::max(footer.last_ns, block.last_ns);
    footer.packets += block.packet_count;
  }
  return footer;
}

// One value per granule: 0 if no packet starts there, else 1 + the first one's offset, in units of 8 bytes
// where all allow it. The unit's logarithm comes first.
Bytes BuildGranules(std::span<const uint16_t> first_packets) {
  std::vector<uint32_t> values;
  values.reserve(first_packets.size());
  uint32_t all_offsets = 0;
  for (const uint16_t offset : first_packets) {
    const bool none = offset >= kGranuleBytes;
    values.push_back(none ? 0 : offset + 1u);
    if (!none) all_offsets |= offset;
  }
  const unsigned shift = all_offsets % 8 == 0 ? 3 : 0;
  for (uint32_t& value : values) value = value == 0 ? 0 : ((value - 1) >> shift) + 1;
  Bytes out{static_cast<uint8_t>(shift)};
  const Bytes column = EncodeColumn(values);
  out.insert(out.end(), column.begin(), column.end());
  return out;
}

Status WriteIndex(const SegmentSnapshot& segment, Scratch scratch, SealedWriter& writer) {
  std::vector<BlockEntry> blocks;
  blocks.reserve(segment.blocks.size());
  for (const LiveBlock& block : segment.blocks) blocks.push_back(block.entry);
  IndexFooter footer = SummarizeBlocks(segment, blocks);

  STENO_TRY(const FlowOrder order, SortFlows(segment, scratch));
  footer.flows = order.count();
  footer.v4_flows = order.v4_count();
  footer.v6_flows = order.v6_count();
  STENO_CHECK_OK(WriteFlowColumns(order, scratch, writer));
  scratch.Release(order.tails);
  STENO_CHECK_OK(WritePostings(order, scratch, writer));

  // The small sections that most queries need come last: one read gets them with the footer.
  footer.granules = static_cast<uint32_t>(segment.granule_first_packet.size());
  footer.blocks = static_cast<uint32_t>(blocks.size());
  STENO_CHECK_OK(writer.Add(SectionId::kGranules, BuildGranules(segment.granule_first_packet)));
  STENO_CHECK_OK(WriteAddresses(order, scratch, writer, footer));
  STENO_CHECK_OK(writer.Add(SectionId::kBlocks, EncodeBlockTable(blocks)));
  return writer.Finish(footer);
}

}  // namespace

Result<Sealer> Sealer::Create(size_t scratch_bytes) {
  STENO_TRY(Mapping memory, Mapping::Anonymous(scratch_bytes));
  // Best effort: sorting writes to many places at once.
  (void)::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  return Sealer(std::move(memory));
}

Status Sealer::Seal(const SegmentSnapshot& segment, const std::string& directory, const std::string& name) {
  const auto with_context = [&](Status status) {
    return std::move(status).map_error(
        [&](Error error) { return std::move(error).With(fmt::format("index {}/{}", directory, name)); });
  };
  auto writer = SealedWriter::Create(directory, name, segment.file_id, segment.file_tag);
  if (!writer) return with_context(Fail(std::move(writer).error()));
  return with_context(WriteIndex(segment, Scratch(memory_.bytes()), *writer));
}

Status SealSegment(const SegmentSnapshot& segment, const std::string& directory, const std::string& name) {
  STENO_TRY(Sealer sealer, Sealer::Create());
  return sealer.Seal(segment, directory, name);
}

}  // namespace steno
