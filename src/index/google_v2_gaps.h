// What an index of the incumbent (google_v2.h) does not say of its packet file: which packets are in none of
// its lists, and where packets start. Found once per file, to be kept.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "index/flow_index.h"
#include "storage/packet_file.h"

namespace steno {

// Granules from the start of the file to the end of its last block.
uint64_t CountGranules(std::span<const BlockEntry> blocks);

// Sets of the file's granules, in which such packets start.
struct GoogleGaps {
  std::vector<BlockEntry> blocks;  // kBlockUnindexed: must be read whole
  FlowSet unlisted;                // in the list of no protocol, although we see an IP header
  FlowSet arp;                     // ARP, in which we see addresses, and no IP header
  FlowSet portless;  // TCP or UDP, in the list of no port: the header is cut off, we may see ports
  std::vector<uint16_t> first_packet;  // per granule, as FlowIndex::FirstPacket(); empty: not kept

  // Memory of the sets and of first_packet: 1/7000 of the packet file.
  [[nodiscard]] uint64_t bytes() const;
  // Gives that memory up: blocks with gaps are to be read whole.
  void Shrink();
};

// Of a file of the incumbent with the blocks of PacketFile::ListForeignBlocks(). Reads the lists of protocols
// and ports, and the blocks of which packets are in no list. Needs 1/64 of the file's size in memory, one
// file at a time. Thread-safe. kCorrupt or kUnsupported: the index is not one of this file.
Result<GoogleGaps> FindGoogleGaps(const std::string& index_path, const PacketFile& file,
                                  std::vector<BlockEntry> blocks);

}  // namespace steno
