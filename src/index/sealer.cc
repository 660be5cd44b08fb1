#include "index/sealer.h"

#include <fmt/format.h>

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

Status AddColumns(const FlowOrder& order, SealedWriter& writer) {
  const std::vector<FlowDetails> details = PlainDetails(order);
  const ServiceColumns columns = BuildServiceColumns(details);
  STENO_CHECK_OK(writer.Add(SectionId::kServices, columns.services));
  STENO_CHECK_OK(writer.Add(SectionId::kServiceCodes, columns.codes));
  STENO_CHECK_OK(writer.Add(SectionId::kOtherPorts, columns.other_ports));
  STENO_CHECK_OK(writer.Add(SectionId::kVlans, BuildVlanColumn(details)));
  STENO_CHECK_OK(writer.Add(SectionId::kGeneralKeys, BuildGeneralKeys(order)));
  return writer.Add(SectionId::kOpenFlows, BuildOpenFlows(order));
}

Status WriteIndex(const SegmentSnapshot& segment, SealedWriter& writer) {
  std::vector<BlockEntry> blocks;
  blocks.reserve(segment.blocks.size());
  for (const LiveBlock& block : segment.blocks) blocks.push_back(block.entry);
  IndexFooter footer = SummarizeBlocks(segment, blocks);

  const FlowOrder order = SortFlows(segment);
  footer.flows = order.count();
  footer.v4_flows = static_cast<uint32_t>(order.v4.size());
  footer.v6_flows = static_cast<uint32_t>(order.v6.size());
  STENO_CHECK_OK(AddColumns(order, writer));
  {
    const PostingSections postings = BuildPostings(segment, order);
    STENO_CHECK_OK(writer.Add(SectionId::kPostings, postings.postings));
    STENO_CHECK_OK(writer.Add(SectionId::kPostingGroups, postings.groups));
  }
  const AddressSections addresses = BuildAddressSections(order);
  footer.addresses = addresses.addresses;
  footer.bloom_blocks = addresses.bloom_blocks;
  STENO_CHECK_OK(writer.Add(SectionId::kReferences, addresses.references));
  STENO_CHECK_OK(writer.Add(SectionId::kAddressPages, addresses.pages));

  // The small sections that most queries need come last: one read gets them with the footer.
  footer.granules = static_cast<uint32_t>(segment.granule_first_packet.size());
  footer.blocks = static_cast<uint32_t>(blocks.size());
  STENO_CHECK_OK(writer.Add(SectionId::kGranules, BuildGranules(segment.granule_first_packet)));
  STENO_CHECK_OK(writer.Add(SectionId::kBloom, addresses.bloom));
  STENO_CHECK_OK(writer.Add(SectionId::kAddressFences, addresses.fences));
  STENO_CHECK_OK(writer.Add(SectionId::kBlocks, EncodeBlockTable(blocks)));
  return writer.Finish(footer);
}

}  // namespace

Status SealSegment(const SegmentSnapshot& segment, const std::string& directory, const std::string& name) {
  const auto with_context = [&](Status status) {
    return std::move(status).map_error(
        [&](Error error) { return std::move(error).With(fmt::format("index {}/{}", directory, name)); });
  };
  auto writer = SealedWriter::Create(directory, name, segment.file_id, segment.file_tag);
  if (!writer) return with_context(Fail(std::move(writer).error()));
  return with_context(WriteIndex(segment, *writer));
}

}  // namespace steno
