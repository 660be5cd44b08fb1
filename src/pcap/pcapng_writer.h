// pcapng output: section header, interfaces, packets and statistics, as bytes appended to a buffer. The
// caller owns the I/O and numbers the interfaces: from 0, in the order in which they are appended.
//
// Source: draft-ietf-opsawg-pcapng. One section, little-endian, times in nanoseconds. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pcap/pcap_writer.h"

namespace steno {

struct PcapngInterface {
  std::string_view name;         // may be empty
  std::string_view description;  // likewise
  uint16_t link_type = 1;
  uint32_t snaplen = 0;  // 0: whole packets
};

struct PcapngStatistics {
  int64_t time_ns = 0;     // when the counts were true
  uint64_t delivered = 0;  // packets of the interface in this file
  uint64_t dropped = 0;    // packets that the recorder lost
};

void AppendPcapngHeader(std::string& out);
void AppendPcapngInterface(std::string& out, const PcapngInterface& interface);
// `comment` may be empty; it ends after 1000 bytes.
void AppendPcapngPacket(std::string& out, uint32_t interface, const PcapRecord& record,
                        std::string_view comment = {});
void AppendPcapngStatistics(std::string& out, uint32_t interface, const PcapngStatistics& statistics);

}  // namespace steno
