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
// It knows the outermost layers only, nothing of ARP, and ports of whole headers of TCP and UDP only. What
// our terms mean and it does not know is added: every packet that may hold more than one IP layer is a
// candidate of each term, and packets that are in no list of it are candidates of what is seen in them
// (google_v2_gaps.h). So candidates are a superset, as of any index.
#pragma once

#include <memory>
#include <string>

#include "index/flow_index.h"
#include "index/google_v2_gaps.h"

namespace steno {

// A FlowIndex over the table: its "flows" are the granules of the file. kCorrupt or kUnsupported if it is
// none. `gaps` from FindGoogleGaps() of the same file. Any bytes are safe. Thread-safe.
Result<std::unique_ptr<FlowIndex>> OpenGoogleIndex(const std::string& path,
                                                   std::shared_ptr<const GoogleGaps> gaps);

}  // namespace steno
