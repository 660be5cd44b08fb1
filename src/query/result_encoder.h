// Packets of a query as the bytes of its result: a capture file, which is classic pcap with microseconds or
// nanoseconds, or pcapng; or counts as JSON, without the packets.
//
// pcapng has an interface per network interface and capture thread, a comment on each packet that was not
// captured right behind its predecessor ("7 packets dropped before this one"), and the interfaces' statistics
// at the end. Classic files have one link type: that of the first packet. Not thread-safe; one per result.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "query/packet_source.h"
#include "query/traffic_summary.h"
#include "storage/packet_view.h"

namespace steno {

enum class ResultFormat : uint8_t { kPcap, kPcapNs, kPcapng, kJson };

// "pcap", "pcap-ns", "pcapng" or "json". kInvalid lists them.
Result<ResultFormat> ParseResultFormat(std::string_view name);
// The same names.
std::string_view ToString(ResultFormat format);
// The first format that an Accept header names ("application/x-pcapng", "application/vnd.tcpdump.pcap;
// resolution=ns"), else kPcap.
ResultFormat FormatOfAccept(std::string_view accept);
// The media type of a result.
const char* MediaType(ResultFormat format);

// Of the packet in a result: with its VLAN tag.
uint32_t CapturedBytes(const PacketView& packet);

class ResultEncoder {
 public:
  // `grouping`: of kJson.
  explicit ResultEncoder(ResultFormat format, const Grouping& grouping = {})
      : format_(format), summary_(grouping) {}

  // Appends the packet to `out`, and what has to stand before it. kUnsupported: its link type does not go
  // into this file; nothing was appended.
  Status Add(const PacketView& packet, const PacketSource& source, std::string& out);

  // Appends what ends the file: after no packets, the header as well.
  void Finish(std::span<const PacketSource> sources, std::string& out);

 private:
  void Begin(uint16_t link_type, std::string& out);
  uint32_t InterfaceOf(const PacketSource& source, std::string& out);

  struct Interface {
    std::optional<uint32_t> number;  // in the file; none: no packet so far
    uint64_t packets = 0;
  };

  const ResultFormat format_;
  TrafficSummary summary_;
  bool begun_ = false;
  uint16_t link_type_ = 1;
  std::vector<Interface> interfaces_;  // by the sources' numbers
  uint32_t interfaces_written_ = 0;
  int64_t last_ns_ = 0;
};

}  // namespace steno
