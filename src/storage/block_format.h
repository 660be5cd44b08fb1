// The packet file's format: constants and layouts shared by its writers and readers. docs/FORMAT.md is the
// prose twin.
//
// A file is a sequence of blocks, packed one after another, each padded with zeros to a multiple of 4096
// bytes. A block is the TPACKET_V3 ring memory as the kernel filled it:
//   0    KernelBlockHeader (48 bytes; struct tpacket_block_desc of <linux/if_packet.h>, version 2)
//   48   BlockHeader       (464 bytes; ours, in the ring's private area: tp_sizeof_priv = 464)
//   512  packets: struct tpacket3_hdr, sockaddr_ll, padding, frame; the next at tp_next_offset (8-aligned)
// Integers are little-endian. Nothing in a file is trusted: BlockHeader carries a checksum over itself, and
// every packet length is checked against the block.
#pragma once

#include <cstddef>
#include <cstdint>

namespace steno {

inline constexpr uint32_t kDiskAlignment = 4096;         // unit of block placement and of O_DIRECT
inline constexpr uint32_t kDefaultBlockBytes = 1 << 20;  // ring block
inline constexpr uint32_t kMaxBlockBytes = 4 << 20;
inline constexpr uint32_t kKernelHeaderBytes = 48;
inline constexpr uint32_t kPrivateHeaderBytes = 464;
inline constexpr uint32_t kFirstPacketOffset = kKernelHeaderBytes + kPrivateHeaderBytes;
inline constexpr uint64_t kMaxFileBytes = uint64_t{4} << 30;

// Granule: the unit of file space that indexes point to. A packet belongs to the granule in which it starts.
inline constexpr uint32_t kGranuleBytes = 16 * 1024;

// struct tpacket_block_desc with struct tpacket_hdr_v1, as the kernel writes it: version is 2 for TPACKET_V3.
struct KernelBlockHeader {
  uint32_t version;
  uint32_t private_offset;
  uint32_t block_status;
  uint32_t packet_count;
  uint32_t first_packet_offset;
  uint32_t used_bytes;  // blk_len: header, private area and packets
  uint64_t sequence;
  uint32_t opened_sec;  // when the block was opened, not its first packet's time
  uint32_t opened_nsec;
  uint32_t last_sec;
  uint32_t last_nsec;
};
static_assert(sizeof(KernelBlockHeader) == kKernelHeaderBytes);

inline constexpr uint64_t kBlockMagic = 0x314B4C424E455453;  // "STENBLK1" in file order
inline constexpr uint32_t kBlockVersion = 1;

enum BlockFlags : uint32_t {
  kBlockGathered = 1,        // put together from several small ring blocks (quiet link)
  kBlockEnclosingTimes = 2,  // first_ns and last_ns are not exact, but enclose the times of all packets
};

// How much wider than the first packet's time and the kernel header's last one enclosing times are. Packets
// are stamped before they come into a block, not in order when several CPUs receive, and a clock may be set
// while a block is being filled, which takes a fraction of this.
inline constexpr int64_t kEnclosingSlackNs = 1'000'000'000;

// Our part. `file_id` and `file_tag` tie a block to its file: stale blocks of a recycled file never match.
struct BlockHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_crc;      // Crc32c over these 464 bytes with this field 0
  uint64_t file_id;         // the file's name: microseconds since the epoch
  uint64_t file_tag;        // random, one per file
  uint64_t file_offset;     // where in the file this block starts
  uint64_t block_sequence;  // 0, 1, 2, ... within the file
  int64_t first_ns;         // earliest and latest packet time, ns since the epoch (see kBlockEnclosingTimes)
  int64_t last_ns;
  uint32_t packet_count;  // copies of the kernel's fields, under our checksum
  uint32_t used_bytes;
  uint32_t disk_bytes;   // used_bytes rounded up to kDiskAlignment: where the next block starts
  uint32_t flags;        // BlockFlags
  uint64_t drops;        // packets lost on this thread since the previous block was filled
  uint64_t drops_total;  // the same since the thread started
  uint32_t interface_index;
  uint16_t link_type;  // LINKTYPE_ of the frames; 1 = Ethernet
  uint16_t thread;
  uint32_t snaplen;  // 0 = whole packets
  uint32_t reserved0;
  char interface_name[16];
  uint8_t reserved[336];
};
static_assert(sizeof(BlockHeader) == kPrivateHeaderBytes);
static_assert(offsetof(BlockHeader, packet_count) == 64);
static_assert(offsetof(BlockHeader, interface_name) == 112);

// What readers and indexes keep of a block (40 bytes, also the record of the index's block table).
struct BlockEntry {
  uint64_t file_offset;
  int64_t first_ns;
  int64_t last_ns;
  uint32_t packet_count;
  uint32_t used_bytes;
  uint32_t drops;  // lost before this block, saturating
  uint32_t flags;  // BlockEntryFlags
};
static_assert(sizeof(BlockEntry) == 40);

enum BlockEntryFlags : uint32_t {
  kBlockUnindexed = 1,  // some packets of this block are not in the flow index: a query reads it all
  kEnclosingTimes = 2,  // its block has kBlockEnclosingTimes
};

}  // namespace steno
