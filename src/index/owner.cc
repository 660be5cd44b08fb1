#include "index/owner.h"

#include <fmt/format.h>

#include <algorithm>

namespace steno {
namespace {

bool SameBlock(const BlockEntry& a, const BlockEntry& b) {
  return a.file_offset == b.file_offset && a.first_ns == b.first_ns && a.last_ns == b.last_ns &&
         a.packet_count == b.packet_count && a.used_bytes == b.used_bytes;
}

}  // namespace

Status CheckFileTag(const std::string& path, uint64_t index_tag, uint64_t file_tag) {
  if (index_tag == file_tag) return {};
  return Fail(Error::Corrupt(
      fmt::format("{}: index of another file: tag {:016x}, expected {:016x}", path, index_tag, file_tag)));
}

Status CheckBlocks(const std::string& path, std::span<const BlockEntry> indexed, const BlockTable& table) {
  for (size_t i = 0; i < std::min(indexed.size(), table.blocks.size()); ++i) {
    if (SameBlock(indexed[i], table.blocks[i])) continue;
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
