#include "storage/block_walk.h"

#include <linux/if_packet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

constexpr size_t kScanBytes = 1 << 20;  // read size of the searches

// The next offset at or after `offset` that holds written data, or `end`. File systems without SEEK_DATA say
// that all is data.
uint64_t SeekData(int fd, uint64_t offset, uint64_t end) {
  const off_t found = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (found >= 0) return std::clamp(static_cast<uint64_t>(found), offset, end);
  return errno == ENXIO ? end : offset;
}

// Reads the two headers at `offset`; nullopt if that is not a block of this file.
Result<std::optional<BlockHeader>> ReadHeader(int fd, const std::string& path, uint64_t offset, uint64_t end,
                                              const BlockHeader* first) {
  std::array<uint8_t, kFirstPacketOffset> bytes;
  if (end - offset < bytes.size()) return std::nullopt;
  STENO_TRY(const size_t got, ReadSome(fd, bytes, offset, path));
  if (got < bytes.size()) return std::nullopt;
  BlockHeader header;
  std::memcpy(&header, bytes.data() + kKernelHeaderBytes, sizeof header);
  if (!CheckBlockHeader(header, offset, first)) return std::nullopt;
  if (header.disk_bytes > end - offset) return std::nullopt;
  return header;
}

// The file's next block behind damage at `offset`: its offset, or nullopt if there is none within reach.
Result<std::optional<uint64_t>> FindNextBlock(int fd, const std::string& path, uint64_t offset, uint64_t end,
                                              const BlockHeader& first, uint64_t next_sequence) {
  std::vector<uint8_t> piece(kScanBytes);
  uint64_t at = offset;
  for (uint64_t searched = 0; searched < kResyncBytes; searched += kScanBytes) {
    STENO_CHECK_OK(CheckInterrupt());
    at = SeekData(fd, at, end) / kDiskAlignment * kDiskAlignment;
    if (at >= end) break;
    STENO_TRY(const size_t got,
              ReadSome(fd, {piece.data(), std::min<uint64_t>(piece.size(), end - at)}, at, path));
    if (got == 0) break;
    for (size_t i = 0; i + kFirstPacketOffset <= got; i += kDiskAlignment) {
      BlockHeader header;
      std::memcpy(&header, piece.data() + i + kKernelHeaderBytes, sizeof header);
      if (header.magic != kBlockMagic || header.block_sequence < next_sequence) continue;
      if (CheckBlockHeader(header, at + i, &first) && header.disk_bytes <= end - (at + i)) return at + i;
    }
    at += kScanBytes;
  }
  return std::nullopt;
}

BlockEntry ToEntry(const BlockHeader& header) {
  BlockEntry entry{};
  entry.file_offset = header.file_offset;
  entry.first_ns = header.first_ns;
  entry.last_ns = header.last_ns;
  entry.packet_count = header.packet_count;
  entry.used_bytes = header.used_bytes;
  entry.drops = static_cast<uint32_t>(std::min<uint64_t>(header.drops, std::numeric_limits<uint32_t>::max()));
  if ((header.flags & kBlockEnclosingTimes) != 0) entry.flags = kEnclosingTimes;
  return entry;
}

// The name as far as it is printable: it ends up in logs and in pcapng files.
std::string InterfaceName(const BlockHeader& header) {
  std::string name;
  for (const char c : header.interface_name) {
    if (std::isgraph(static_cast<unsigned char>(c)) == 0) break;
    name += c;
  }
  return name;
}

// The table entry of a foreign block: its times come from its packets. nullopt if no packet of it can be
// read.
std::optional<BlockEntry> ReadForeignBlock(std::span<const uint8_t> block, uint64_t file_offset) {
  KernelBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  if (!LooksForeign(block) || header.used_bytes > block.size()) return std::nullopt;
  BlockEntry entry{};
  entry.file_offset = file_offset;
  entry.used_bytes = header.used_bytes;
  PacketWalk walk(block.first(header.used_bytes), header.first_packet_offset, header.used_bytes, file_offset);
  while (const PacketView* packet = walk.Next()) {
    const bool first = entry.packet_count++ == 0;
    entry.first_ns = first ? packet->time_ns : std::min(entry.first_ns, packet->time_ns);
    entry.last_ns = first ? packet->time_ns : std::max(entry.last_ns, packet->time_ns);
  }
  if (entry.packet_count == 0) return std::nullopt;
  return entry;
}

}  // namespace

bool LooksForeign(std::span<const uint8_t> start) {
  if (start.size() < kKernelHeaderBytes) return false;
  KernelBlockHeader header;
  std::memcpy(&header, start.data(), sizeof header);
  return header.version >= 1 && header.version <= 3 && header.private_offset == kKernelHeaderBytes &&
         header.first_packet_offset == kKernelHeaderBytes && header.packet_count > 0 &&
         header.used_bytes > kKernelHeaderBytes && header.used_bytes <= kForeignBlockBytes;
}

Result<uint64_t> FindNonZero(int fd, const std::string& path, uint64_t offset, uint64_t end) {
  std::vector<uint8_t> piece;
  for (uint64_t at = offset;;) {
    STENO_CHECK_OK(CheckInterrupt());
    at = SeekData(fd, at, end);
    if (at >= end) return end;
    piece.resize(kScanBytes);
    STENO_TRY(const size_t got,
              ReadSome(fd, {piece.data(), std::min<uint64_t>(piece.size(), end - at)}, at, path));
    if (got == 0) return end;
    const auto stop = piece.begin() + static_cast<std::ptrdiff_t>(got);
    const auto found = std::find_if(piece.begin(), stop, [](uint8_t byte) { return byte != 0; });
    if (found != stop) return at + static_cast<uint64_t>(found - piece.begin());
    at += got;
  }
}

Result<BlockTable> WalkOwnBlocks(int fd, const std::string& path, uint64_t end) {
  BlockTable table;
  std::optional<BlockHeader> first;
  uint64_t next_sequence = 0;
  for (uint64_t at = 0; at < end;) {
    STENO_CHECK_OK(CheckInterrupt());
    STENO_TRY(const auto header, ReadHeader(fd, path, at, end, first ? &*first : nullptr));
    if (!header || header->block_sequence < next_sequence || (!first && header->block_sequence != 0)) {
      if (!first) break;
      STENO_TRY(const auto next, FindNextBlock(fd, path, at, end, *first, next_sequence));
      if (!next) break;
      at = *next;
      continue;
    }
    if (!first) first = *header;
    table.missing_blocks += header->block_sequence - next_sequence;
    next_sequence = header->block_sequence + 1;
    table.blocks.push_back(ToEntry(*header));
    at += header->disk_bytes;
    table.valid_bytes = at;
  }
  if (first) {
    table.file_id = first->file_id;
    table.link_type = first->link_type;
    table.interface_name = InterfaceName(*first);
  }
  STENO_TRY(const uint64_t garbage, FindNonZero(fd, path, table.valid_bytes, end));
  table.clean = garbage == end && table.missing_blocks == 0;
  return table;
}

Result<BlockTable> ListForeignBlocks(int fd, const std::string& path, uint64_t end) {
  BlockTable table;
  table.foreign = true;
  std::array<uint8_t, kKernelHeaderBytes + sizeof(tpacket3_hdr)> start;
  for (uint64_t at = 0; at + start.size() <= end; at += kForeignBlockBytes) {
    STENO_CHECK_OK(CheckInterrupt());
    STENO_TRY(const size_t got, ReadSome(fd, start, at, path));
    KernelBlockHeader header;
    std::memcpy(&header, start.data(), sizeof header);
    if (got < start.size() || !LooksForeign(start) || header.used_bytes > end - at) {
      table.clean = std::ranges::all_of(start, [](uint8_t byte) { return byte == 0; });
      break;
    }
    const auto time = [](uint32_t seconds, uint32_t ns) { return int64_t{seconds} * kNsPerSecond + ns; };
    tpacket3_hdr packet;
    std::memcpy(&packet, start.data() + kKernelHeaderBytes, sizeof packet);
    const auto [low, high] =
        std::minmax({time(packet.tp_sec, packet.tp_nsec), time(header.opened_sec, header.opened_nsec),
                     time(header.last_sec, header.last_nsec)});
    table.blocks.push_back({.file_offset = at,
                            .first_ns = low - kEnclosingSlackNs,
                            .last_ns = high + kEnclosingSlackNs,
                            .packet_count = header.packet_count,
                            .used_bytes = header.used_bytes,
                            .drops = 0,
                            .flags = 0});
    table.valid_bytes = at + header.used_bytes;
  }
  return table;
}

Result<BlockTable> WalkForeignBlocks(int fd, const std::string& path, uint64_t end) {
  BlockTable table;
  table.foreign = true;
  std::vector<uint8_t> block(kForeignBlockBytes);
  for (uint64_t at = 0; at < end; at += kForeignBlockBytes) {
    STENO_CHECK_OK(CheckInterrupt());
    STENO_TRY(const size_t got,
              ReadSome(fd, {block.data(), std::min(kForeignBlockBytes, end - at)}, at, path));
    const auto entry = ReadForeignBlock(std::span(block).first(got), at);
    if (!entry) break;
    table.blocks.push_back(*entry);
    table.valid_bytes = at + got;
  }
  STENO_TRY(const uint64_t garbage, FindNonZero(fd, path, table.valid_bytes, end));
  table.clean = garbage == end;
  return table;
}

}  // namespace steno
