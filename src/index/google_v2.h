// The incumbent's index (version 2) of one of its packet files: a table of LevelDB.
//
// Keys are an attribute (one byte) and its value in network order; values are lists of 32-bit big-endian file
// offsets of packet headers, ascending:
//
//     00             version: 32-bit big-endian, 2, and four zeros
//     01 protocol    of the outermost IP header, behind the extension headers of IPv6 that it knows
//     02 port        16 bits; TCP and UDP, source and destination
//     03 vlan        16 bits; only tags that the kernel left in the frame
//     04 address     IPv4, source and destination
//     05 label       32 bits; MPLS
//     06 address     IPv6
//
// It knows the outermost layers only, and nothing of ARP. What our terms mean and it does not know is added:
// every packet that may hold more than one IP layer is a candidate of each term, and a block with a packet
// that is not in the index at all is read whole. So candidates are a superset, as of any index.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "index/flow_index.h"

namespace steno {

// True if the file ends as a table of LevelDB does. No guess about the rest.
bool IsLevelDbTable(const std::string& path);

// The blocks of a file of the incumbent (from PacketFile::ListForeignBlocks()) with kBlockUnindexed where a
// packet is missing in the index at `path`. Reads the positions of all packets once: to be kept.
Result<std::vector<BlockEntry>> MarkGoogleUnindexed(const std::string& path, std::vector<BlockEntry> blocks);

// A FlowIndex over the table: its "flows" are the granules of the file. kCorrupt or kUnsupported if it is
// none. `blocks` from MarkGoogleUnindexed(). Any bytes are safe. Thread-safe.
Result<std::unique_ptr<FlowIndex>> OpenGoogleIndex(const std::string& path, std::vector<BlockEntry> blocks);

}  // namespace steno
