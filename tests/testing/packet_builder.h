// PacketBuilder: frames for tests, layer by layer; lengths and checksums filled in. Header text order = wire
// order.
//   auto frame = PacketBuilder().Ethernet().Vlan(5).Ipv4("10.0.0.1", "10.0.0.2").Tcp(1234,
//   80).Payload(100).Build();
// Inner frames of tunnels are continued with further calls (Gre().Ipv4(...), Vxlan(7).Ethernet().Ipv6(...)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace steno::testing {

class PacketBuilder {
 public:
  PacketBuilder& Ethernet(const std::string& src = "02:00:00:00:00:01",
                          const std::string& dst = "02:00:00:00:00:02");
  PacketBuilder& Vlan(uint16_t id, uint16_t tpid = 0x8100);
  PacketBuilder& Mpls(const std::vector<uint32_t>& labels);
  PacketBuilder& Snap();  // 802.3 length, LLC and SNAP after Ethernet() or Vlan()
  PacketBuilder& Pppoe();
  PacketBuilder& Arp(const std::string& sender, const std::string& target);
  PacketBuilder& Ipv4(const std::string& src, const std::string& dst);
  PacketBuilder& Ipv6(const std::string& src, const std::string& dst);
  PacketBuilder& Ipv6Extension(uint8_t type,
                               unsigned bytes);  // 0 hop-by-hop, 43 routing, 60 destination, 51 AH
  PacketBuilder& Fragment(uint16_t offset_bytes, bool more);  // of the last IP header
  PacketBuilder& Tcp(uint16_t src, uint16_t dst, uint8_t flags = 0x10);
  PacketBuilder& Udp(uint16_t src, uint16_t dst);
  PacketBuilder& Sctp(uint16_t src, uint16_t dst);
  PacketBuilder& Icmp(uint8_t type, uint8_t code);
  PacketBuilder& Icmp6(uint8_t type, uint8_t code);
  PacketBuilder& Protocol(uint8_t number);  // the next header's number where no further layer sets it
  PacketBuilder& Gre(bool key = false, bool checksum = false, bool sequence = false);
  PacketBuilder& Vxlan(uint32_t vni);                              // adds its UDP header, port 4789
  PacketBuilder& Geneve(uint32_t vni, unsigned option_bytes = 0);  // UDP port 6081
  PacketBuilder& Gtp(uint32_t teid);                               // UDP port 2152
  PacketBuilder& Payload(size_t bytes, uint8_t fill = 'x');
  PacketBuilder& Raw(const std::vector<uint8_t>& bytes);

  [[nodiscard]] std::vector<uint8_t> Build() const;

 private:
  // Where a header starts and what must be filled in: its next-header field by the header that follows, its
  // length and checksum once the whole frame is known. kOther has none of these.
  struct Mark {
    enum class Kind : uint8_t {
      kEther,   // offset of the ether type, not of the header
      kLength,  // the same field, holding an 802.3 length
      kPppoe,
      kIpv4,
      kIpv6,
      kExtension,
      kTcp,
      kUdp,
      kSctp,
      kIcmp,
      kIcmp6,
      kGre,
      kGeneve,
      kGtp,
      kOther,
    } kind;
    size_t offset;
  };
  void Begin(Mark::Kind kind);
  void Next(uint16_t ether_type, uint8_t protocol);
  static void FillLength(const Mark& mark, std::vector<uint8_t>& frame);
  void FillChecksum(size_t index, std::vector<uint8_t>& frame) const;
  [[nodiscard]] uint64_t PseudoSum(size_t index, const std::vector<uint8_t>& frame, uint8_t protocol) const;

  std::vector<uint8_t> bytes_;
  std::vector<Mark> marks_;
};

}  // namespace steno::testing
