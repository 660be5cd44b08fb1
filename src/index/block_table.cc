#include "index/block_table.h"

namespace steno {
namespace {

constexpr size_t kFieldsPerBlock = 7;  // each at least one byte

uint64_t PaddedEnd(const BlockEntry& block) {
  return block.file_offset + AlignUp(block.used_bytes, kDiskAlignment);
}

// The difference as a signed number; wraps instead of overflowing, so that any entry can be encoded.
uint64_t Difference(uint64_t value, uint64_t from) { return ZigZag(static_cast<int64_t>(value - from)); }
uint64_t Undo(uint64_t difference, uint64_t from) {
  return from + static_cast<uint64_t>(UnZigZag(difference));
}

}  // namespace

Bytes EncodeBlockTable(std::span<const BlockEntry> blocks) {
  Bytes out;
  BlockEntry previous{};
  for (const BlockEntry& block : blocks) {
    const auto first_ns = static_cast<uint64_t>(block.first_ns);
    AppendVarint(out, Difference(block.file_offset, PaddedEnd(previous)));
    AppendVarint(out, Difference(first_ns, static_cast<uint64_t>(previous.first_ns)));
    AppendVarint(out, Difference(static_cast<uint64_t>(block.last_ns), first_ns));
    for (const uint32_t value : {block.packet_count, block.used_bytes, block.drops, block.flags}) {
      AppendVarint(out, value);
    }
    previous = block;
  }
  return out;
}

Result<std::vector<BlockEntry>> DecodeBlockTable(std::span<const uint8_t> bytes, uint32_t count) {
  if (count > bytes.size() / kFieldsPerBlock) return Fail(Error::Corrupt("block table: cut off"));
  std::vector<BlockEntry> blocks;
  blocks.reserve(count);
  ByteReader reader(bytes);
  BlockEntry previous{};
  for (uint32_t i = 0; i < count; ++i) {
    BlockEntry block{};
    block.file_offset = Undo(reader.Varint<uint64_t>(), PaddedEnd(previous));
    const uint64_t first_ns = Undo(reader.Varint<uint64_t>(), static_cast<uint64_t>(previous.first_ns));
    block.first_ns = static_cast<int64_t>(first_ns);
    block.last_ns = static_cast<int64_t>(Undo(reader.Varint<uint64_t>(), first_ns));
    for (uint32_t* field : {&block.packet_count, &block.used_bytes, &block.drops, &block.flags}) {
      *field = reader.Varint<uint32_t>();
    }
    blocks.push_back(block);
    previous = block;
  }
  if (!reader.ok() || reader.left() != 0) return Fail(Error::Corrupt("block table: broken"));
  return blocks;
}

}  // namespace steno
