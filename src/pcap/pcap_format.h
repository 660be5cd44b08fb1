// Numbers of the pcap and pcapng file formats. Sources: pcap-savefile(5); draft-ietf-opsawg-pcapng. Internal
// to this module.
#pragma once

#include <cstddef>
#include <cstdint>

namespace steno::pcap_format {

// Classic pcap. Read in the writer's byte order.
inline constexpr uint32_t kMagicMicroseconds = 0xa1b2c3d4;
inline constexpr uint32_t kMagicNanoseconds = 0xa1b23c4d;
inline constexpr uint16_t kMajor = 2;
inline constexpr uint16_t kMinor = 4;

// pcapng block types. The section header's reads the same in both byte orders.
inline constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
inline constexpr uint32_t kInterface = 1;
inline constexpr uint32_t kObsoletePacket = 2;
inline constexpr uint32_t kSimplePacket = 3;
inline constexpr uint32_t kInterfaceStatistics = 5;
inline constexpr uint32_t kEnhancedPacket = 6;
inline constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;

inline constexpr uint16_t kOptionEnd = 0;
inline constexpr uint16_t kOptionComment = 1;         // of any block
inline constexpr uint16_t kOptionName = 2;            // if_name
inline constexpr uint16_t kOptionDescription = 3;     // if_description
inline constexpr uint16_t kOptionApplication = 4;     // shb_userappl
inline constexpr uint16_t kOptionDropped = 5;         // isb_ifdrop
inline constexpr uint16_t kOptionDelivered = 8;       // isb_usrdeliv
inline constexpr uint16_t kOptionTimeResolution = 9;  // if_tsresol
inline constexpr uint16_t kOptionTimeOffset = 14;     // if_tsoffset

// Type and length in front of a block's body, the length again behind it.
inline constexpr size_t kBlockHeaderBytes = 8;
inline constexpr size_t kBlockTrailerBytes = 4;

// What this reader takes: one captured packet; one block that it must hold whole (a packet and its options).
inline constexpr uint32_t kMaxPacketBytes = 256 << 10;
inline constexpr uint32_t kMaxBlockBytes = 1 << 20;
inline constexpr size_t kMaxInterfaces = 1 << 16;

}  // namespace steno::pcap_format
