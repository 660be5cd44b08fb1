#include "capture/block_gatherer.h"

#include <linux/if_packet.h>

#include <cstring>
#include <optional>

#include "base/bytes.h"
#include "capture/ring_block.h"

namespace steno {
namespace {

// Where the last packet of a block starts; nothing if the chain of its packets leaves the block.
std::optional<uint32_t> FindLastPacket(std::span<const uint8_t> block, const KernelBlockHeader& header) {
  uint64_t at = header.first_packet_offset;
  for (uint32_t packet = 0;; ++packet) {
    if (at + sizeof(tpacket3_hdr) > block.size()) return std::nullopt;
    if (packet + 1 == header.packet_count) return static_cast<uint32_t>(at);
    const auto next = LoadLe<uint32_t>(block.data() + at + offsetof(tpacket3_hdr, tp_next_offset));
    if (next == 0) return std::nullopt;
    at += next;
  }
}

}  // namespace

Result<BlockGatherer> BlockGatherer::Create() {
  BlockGatherer gatherer;
  STENO_TRY(gatherer.memory_, Mapping::Anonymous(size_t{kGatherBuffers} * kGatherBlockBytes));
  return gatherer;
}

std::span<uint8_t> BlockGatherer::Buffer(unsigned buffer) const {
  return memory_.bytes().subspan(size_t{buffer} * kGatherBlockBytes, kGatherBlockBytes);
}

bool BlockGatherer::StartBuffer(const KernelBlockHeader& first, int64_t now_ns) {
  unsigned buffer = 0;
  while (buffer < kGatherBuffers && busy_[buffer]) ++buffer;
  if (buffer == kGatherBuffers) return false;
  current_ = buffer;
  used_ = kFirstPacketOffset;
  last_packet_ = 0;
  oldest_ns_ = now_ns;
  KernelBlockHeader header = first;
  header.private_offset = kKernelHeaderBytes;
  header.block_status = TP_STATUS_USER;
  header.packet_count = 0;
  header.first_packet_offset = kFirstPacketOffset;
  header.used_bytes = kFirstPacketOffset;
  header.sequence = sequence_++;
  std::memcpy(Buffer(buffer).data(), &header, sizeof header);
  return true;
}

bool BlockGatherer::Add(std::span<const uint8_t> block, int64_t now_ns) {
  if (block.size() < kFirstPacketOffset) return false;
  const KernelBlockHeader from = ReadKernelHeader(block);
  const uint32_t first = from.first_packet_offset;
  if (from.packet_count == 0 || first > block.size() || first % kPacketAlignment != 0) return false;
  const auto last = FindLastPacket(block, from);
  if (!last) return false;
  const auto bytes = static_cast<uint32_t>(AlignUp(block.size() - first, kPacketAlignment));
  if (bytes > kGatherBlockBytes - (empty() ? kFirstPacketOffset : used_)) return false;
  if (empty() && !StartBuffer(from, now_ns)) return false;

  uint8_t* buffer = Buffer(current_).data();
  std::memcpy(buffer + used_, block.data() + first, block.size() - first);
  if (last_packet_ != 0) {
    StoreLe(buffer + last_packet_ + offsetof(tpacket3_hdr, tp_next_offset), used_ - last_packet_);
  }
  last_packet_ = used_ + (*last - first);
  used_ += bytes;

  KernelBlockHeader header = ReadKernelHeader(Filled());
  header.packet_count += from.packet_count;
  header.used_bytes = used_;
  header.last_sec = from.last_sec;
  header.last_nsec = from.last_nsec;
  std::memcpy(buffer, &header, sizeof header);
  return true;
}

void BlockGatherer::Detach() {
  busy_[current_] = true;
  used_ = 0;
}

}  // namespace steno
