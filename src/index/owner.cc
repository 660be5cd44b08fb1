#include "index/owner.h"

#include <fmt/format.h>

#include <algorithm>

namespace steno {
namespace {

bool IsEntryOf(const BlockEntry& indexed, const BlockEntry& block) {
  return indexed.file_offset == block.file_offset && indexed.packet_count == block.packet_count &&
         indexed.used_bytes == block.used_bytes && TimesFit(block, indexed.first_ns, indexed.last_ns);
}

}  // namespace

bool TimesFit(const BlockEntry& block, int64_t first_ns, int64_t last_ns) {
  if ((block.flags & kEnclosingTimes) != 0) return block.first_ns <= first_ns && last_ns <= block.last_ns;
  return block.first_ns == first_ns && block.last_ns == last_ns;
}

Status CheckFileTag(const std::string& path, uint64_t index_tag, uint64_t file_tag) {
  if (index_tag == file_tag) return {};
  return Fail(Error::Corrupt(
      fmt::format("{}: index of another file: tag {:016x}, expected {:016x}", path, index_tag, file_tag)));
}

Status CheckBlocks(const std::string& path, std::span<const BlockEntry> indexed, const BlockTable& table) {
  for (size_t i = 0; i < std::min(indexed.size(), table.blocks.size()); ++i) {
    if (IsEntryOf(indexed[i], table.blocks[i])) continue;
    return Fail(
        Error::Corrupt(fmt::format("{}: block {} is at byte {} with {} packets, expected byte {} and {}",
                                   path, i, indexed[i].file_offset, indexed[i].packet_count,
                                   table.blocks[i].file_offset, table.blocks[i].packet_count)));
  }
  if (indexed.size() <= table.blocks.size()) return {};
  return Fail(Error::Corrupt(
      fmt::format("{}: {} blocks, but the packet file has {}", path, indexed.size(), table.blocks.size())));
}

}  // namespace steno
