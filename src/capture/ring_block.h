// Small operations on a block as the kernel lays it out in a TPACKET_V3 ring. The kernel's layout is trusted:
// this is its memory, not a file.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "index/block_summary.h"
#include "storage/block_format.h"

namespace steno {

inline constexpr uint16_t kLinkTypeEthernet = 1;  // LINKTYPE_ETHERNET, https://www.tcpdump.org/linktypes.html
inline constexpr uint32_t kPacketAlignment = 8;   // V3_ALIGNMENT of af_packet.c

// Of an Ethernet frame behind its packet's header, as tpacket_rcv() of af_packet.c places it: the network
// header at the next multiple of 16 after tpacket3_hdr, sockaddr_ll and 16 bytes, the frame 14 bytes before.
inline constexpr uint32_t kFrameOffset = 82;

// Where the packets of a block come from, for its header.
struct BlockOrigin {
  uint32_t interface_index = 0;  // 0 if there is none
  std::string_view name;         // of an interface or a file; its first 15 bytes are kept
};

inline KernelBlockHeader ReadKernelHeader(std::span<const uint8_t> block) {
  KernelBlockHeader header{};
  std::memcpy(&header, block.data(), sizeof header);
  return header;
}

// Time of the first packet (the header's own "first" time is that of opening the block), ns since the epoch.
int64_t FirstPacketNs(std::span<const uint8_t> block);

// The kernel header's last time, ns since the epoch: of the last packet, or when the kernel's timer closed
// the block.
int64_t LastNs(const KernelBlockHeader& header);

// What the kernel header and the first packet tell of a block, without a walk. Its times enclose those of all
// packets by kEnclosingSlackNs (REQUIRES: the system's clock stamped them as they came in); its bytes are
// those of the frames with up to 7 of padding for each.
BlockSummary EnclosingSummary(std::span<const uint8_t> block);

// Keeps the first `packets` of the block's packets. REQUIRES: 0 < packets <= packet_count.
void TruncateBlock(std::span<uint8_t> block, uint32_t packets);

}  // namespace steno
