// Classic pcap output: file header and records, µs or ns, as bytes appended to a buffer. The caller owns the
// I/O.
//
// Source: libpcap's savefile format (pcap-savefile(5)): magic 0xa1b2c3d4 (µs) or 0xa1b23c4d (ns),
// version 2.4. VLAN tags that the kernel took out of a frame are put back, and both lengths grow by 4.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "packet/decode.h"

namespace steno {

enum class PcapResolution : uint8_t { kMicroseconds, kNanoseconds };

inline constexpr size_t kPcapFileHeaderBytes = 24;
inline constexpr size_t kPcapRecordHeaderBytes = 16;
inline constexpr uint32_t kPcapSnaplen = 262144;  // libpcap's MAXIMUM_SNAPLEN: superpackets exceed 65535

// One packet to write: the parts of a record, in place.
struct PcapRecord {
  int64_t time_ns = 0;
  uint32_t original_bytes = 0;     // on the wire, without the stripped tag
  std::span<const uint8_t> frame;  // captured, without the stripped tag
  StrippedTag tag;
};

// A record's lengths as they are written: with the tag, and no longer than kPcapSnaplen.
struct PcapRecordSizes {
  uint32_t captured;
  uint32_t original;
};
PcapRecordSizes SizesOf(const PcapRecord& record);

// The captured bytes, with the tag.
void AppendFrame(std::string& out, const PcapRecord& record);

void AppendPcapFileHeader(std::string& out, PcapResolution resolution, uint32_t link_type);
void AppendPcapRecord(std::string& out, PcapResolution resolution, const PcapRecord& record);

}  // namespace steno
