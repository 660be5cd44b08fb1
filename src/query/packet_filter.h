// PacketFilter: one primitive of tcpdump's language that asks for bytes of the packet or its length
// ("tcp[tcpflags] & tcp-syn != 0", "greater 1000"), compiled by libpcap.
//
// Immutable and thread-safe. A filter sees the packet as it was on the wire: a VLAN tag that the kernel took
// out of the frame is back in its place, lengths count it. One that asks behind the link layer is also tried
// behind the VLAN tags, and on each IP or ARP header that the decoder finds in the packet (as if it were the
// first thing in an Ethernet frame), for terms are about some layer of a packet.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "packet/headers.h"
#include "storage/packet_view.h"

namespace steno {

class PacketFilter {
 public:
  enum class Reach : uint8_t {
    kFrame,   // asks for the outermost frame or the length
    kLayers,  // asks for what is behind the link layer
  };

  // kInvalid, without a column, with libpcap's reason. `text` must have passed the parser: libpcap looks
  // names up, also over the network.
  static Result<std::shared_ptr<const PacketFilter>> Compile(std::string text, Reach reach);
  ~PacketFilter();
  PacketFilter(const PacketFilter&) = delete;
  PacketFilter& operator=(const PacketFilter&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }

  enum class Verdict : uint8_t {
    kNo,
    kYes,
    kCannotTell,  // bytes are asked for that were not captured, or a number is divided by 0
  };
  // `headers`: of this packet, from Decode().
  [[nodiscard]] Verdict Test(const PacketView& packet, const PacketHeaders& headers) const;

 private:
  struct Program;

  PacketFilter(std::string text, Reach reach, std::unique_ptr<Program> program);
  [[nodiscard]] Verdict Run(std::span<const uint8_t> frame, uint32_t wire_bytes) const;
  [[nodiscard]] Verdict TestInside(const PacketView& packet, uint32_t wire_bytes) const;

  const std::string text_;
  const Reach reach_;
  const std::unique_ptr<const Program> program_;
};

}  // namespace steno
