#include "capture/ring_block.h"

#include <linux/if_packet.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

namespace steno {

int64_t FirstPacketNs(std::span<const uint8_t> block) {
  const uint64_t at = ReadKernelHeader(block).first_packet_offset;
  STENO_CHECK(at + sizeof(tpacket3_hdr) <= block.size());
  const auto seconds = LoadLe<uint32_t>(block.data() + at + offsetof(tpacket3_hdr, tp_sec));
  const auto nanoseconds = LoadLe<uint32_t>(block.data() + at + offsetof(tpacket3_hdr, tp_nsec));
  return int64_t{seconds} * kNsPerSecond + nanoseconds;
}

BlockSummary EnclosingSummary(std::span<const uint8_t> block) {
  const KernelBlockHeader header = ReadKernelHeader(block);
  const uint64_t overhead = uint64_t{header.packet_count} * kFrameOffset;
  const uint64_t packets_bytes = header.used_bytes - header.first_packet_offset;
  // The kernel header's first time is that of opening the block, which may be long before the first packet.
  const auto [low, high] = std::minmax({FirstPacketNs(block), LastNs(header)});
  return {.first_ns = low - kEnclosingSlackNs,
          .last_ns = high + kEnclosingSlackNs,
          .packets = header.packet_count,
          .captured_bytes = packets_bytes - std::min(packets_bytes, overhead)};
}

int64_t LastNs(const KernelBlockHeader& header) {
  return int64_t{header.last_sec} * kNsPerSecond + header.last_nsec;
}

void TruncateBlock(std::span<uint8_t> block, uint32_t packets) {
  KernelBlockHeader header = ReadKernelHeader(block);
  if (packets >= header.packet_count) return;
  uint64_t at = header.first_packet_offset;
  uint64_t last = at;
  for (uint32_t packet = 0; packet < packets; ++packet) {
    STENO_CHECK(at + sizeof(tpacket3_hdr) <= block.size());
    last = at;
    at += LoadLe<uint32_t>(block.data() + at + offsetof(tpacket3_hdr, tp_next_offset));
  }
  StoreLe<uint32_t>(block.data() + last + offsetof(tpacket3_hdr, tp_next_offset), 0);
  header.packet_count = packets;
  header.used_bytes = static_cast<uint32_t>(at);
  std::memcpy(block.data(), &header, sizeof header);
}

}  // namespace steno
