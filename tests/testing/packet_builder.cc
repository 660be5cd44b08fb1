#include "testing/packet_builder.h"

#include <algorithm>
#include <cstdio>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "packet/address.h"
#include "packet/wire.h"

namespace steno::testing {

namespace {

constexpr size_t kMaxIpBytes = 65535;

void Append16(std::vector<uint8_t>& bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}

void Append32(std::vector<uint8_t>& bytes, uint32_t value) {
  Append16(bytes, static_cast<uint16_t>(value >> 16));
  Append16(bytes, static_cast<uint16_t>(value));
}

void AppendMac(std::vector<uint8_t>& bytes, const std::string& text) {
  unsigned m[6];
  const int fields = std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]);
  STENO_CHECK(fields == 6);
  for (const unsigned byte : m) bytes.push_back(static_cast<uint8_t>(byte));
}

void AppendAddress(std::vector<uint8_t>& bytes, const std::string& text, uint8_t family) {
  const auto address = ParseAddress(text);
  STENO_CHECK(address.has_value() && address->family == family);
  if (family == 6) {
    Append32(bytes, static_cast<uint32_t>(address->high >> 32));
    Append32(bytes, static_cast<uint32_t>(address->high));
    Append32(bytes, static_cast<uint32_t>(address->low >> 32));
  }
  Append32(bytes, static_cast<uint32_t>(address->low));
}

// Length fields hold 16 bits; a superpacket (RFC 2675, Linux' BIG TCP) says 0.
uint16_t LengthField(size_t bytes) {
  return bytes > kMaxIpBytes ? uint16_t{0} : static_cast<uint16_t>(bytes);
}

// RFC 1071, continuing from `sum`.
uint64_t Sum(const uint8_t* bytes, size_t size, uint64_t sum = 0) {
  for (size_t i = 0; i + 1 < size; i += 2) sum += LoadBe<uint16_t>(bytes + i);
  if (size % 2 != 0) sum += uint64_t{bytes[size - 1]} << 8;
  return sum;
}

uint16_t Fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

// Tells the header before that a header of this ether type, or as IP protocol `protocol`, follows it.
void PacketBuilder::Next(uint16_t ether_type, uint8_t protocol) {
  if (marks_.empty()) return;
  uint8_t* header = bytes_.data() + marks_.back().offset;
  switch (marks_.back().kind) {
    case Mark::Kind::kEther:
      StoreBe(header, ether_type);
      break;
    case Mark::Kind::kIpv4:
      header[9] = protocol;
      break;
    case Mark::Kind::kIpv6:
      header[6] = protocol;
      break;
    case Mark::Kind::kExtension:
      header[0] = protocol;
      break;
    case Mark::Kind::kGre:
    case Mark::Kind::kGeneve:
      StoreBe(header + 2, ether_type);
      break;
    case Mark::Kind::kPppoe:
      StoreBe(header + 6, ether_type == wire::kEtherIpv6 ? wire::kPppIpv6 : wire::kPppIpv4);
      break;
    case Mark::Kind::kLength:
    case Mark::Kind::kTcp:
    case Mark::Kind::kUdp:
    case Mark::Kind::kSctp:
    case Mark::Kind::kIcmp:
    case Mark::Kind::kIcmp6:
    case Mark::Kind::kGtp:
    case Mark::Kind::kOther:
      break;
  }
}

void PacketBuilder::Begin(Mark::Kind kind) { marks_.push_back({kind, bytes_.size()}); }

PacketBuilder& PacketBuilder::Ethernet(const std::string& src, const std::string& dst) {
  static constexpr uint8_t kEthernetInIp = 143;
  Next(wire::kEtherTransparent, kEthernetInIp);
  AppendMac(bytes_, dst);
  AppendMac(bytes_, src);
  Begin(Mark::Kind::kEther);
  Append16(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Vlan(uint16_t id, uint16_t tpid) {
  Next(tpid, 0);
  Append16(bytes_, id);
  Begin(Mark::Kind::kEther);
  Append16(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Mpls(const std::vector<uint32_t>& labels) {
  static constexpr uint8_t kMplsInIp = 137;
  Next(wire::kEtherMpls, kMplsInIp);
  Begin(Mark::Kind::kOther);
  for (size_t i = 0; i < labels.size(); ++i) {
    const uint32_t bottom = i + 1 == labels.size() ? 0x100 : 0;
    Append32(bytes_, labels[i] << 12 | bottom | 64);
  }
  return *this;
}

PacketBuilder& PacketBuilder::Snap() {
  STENO_CHECK(!marks_.empty() && marks_.back().kind == Mark::Kind::kEther);
  marks_.back().kind = Mark::Kind::kLength;
  Raw({0xaa, 0xaa, 0x03, 0, 0, 0});
  Begin(Mark::Kind::kEther);
  Append16(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Pppoe() {
  Next(wire::kEtherPppoeSession, 0);
  Begin(Mark::Kind::kPppoe);
  Append16(bytes_, 0x1100);
  Append16(bytes_, 1);  // session
  Append32(bytes_, 0);  // length, PPP protocol
  return *this;
}

PacketBuilder& PacketBuilder::Arp(const std::string& sender, const std::string& target) {
  Next(wire::kEtherArp, 0);
  Begin(Mark::Kind::kOther);
  Append16(bytes_, 1);  // Ethernet
  Append16(bytes_, wire::kEtherIpv4);
  Append16(bytes_, 0x0604);
  Append16(bytes_, 1);  // request
  AppendMac(bytes_, "02:00:00:00:00:01");
  AppendAddress(bytes_, sender, 4);
  AppendMac(bytes_, "00:00:00:00:00:00");
  AppendAddress(bytes_, target, 4);
  return *this;
}

PacketBuilder& PacketBuilder::Ipv4(const std::string& src, const std::string& dst) {
  Next(wire::kEtherIpv4, wire::kIpIpv4);
  Begin(Mark::Kind::kIpv4);
  Append32(bytes_, 0x45000000);
  Append32(bytes_, 0x00010000);
  Append32(bytes_, 64u << 24);
  AppendAddress(bytes_, src, 4);
  AppendAddress(bytes_, dst, 4);
  return *this;
}

PacketBuilder& PacketBuilder::Ipv6(const std::string& src, const std::string& dst) {
  Next(wire::kEtherIpv6, wire::kIpIpv6);
  Begin(Mark::Kind::kIpv6);
  Append32(bytes_, 0x60000000);
  Append32(bytes_, 64);
  AppendAddress(bytes_, src, 6);
  AppendAddress(bytes_, dst, 6);
  return *this;
}

PacketBuilder& PacketBuilder::Ipv6Extension(uint8_t type, unsigned bytes) {
  STENO_CHECK(bytes >= 8 && bytes % (type == wire::kIpAh ? 4 : 8) == 0);
  Next(0, type);
  Begin(Mark::Kind::kExtension);
  bytes_.push_back(0);
  bytes_.push_back(static_cast<uint8_t>(type == wire::kIpAh ? bytes / 4 - 2 : bytes / 8 - 1));
  bytes_.resize(bytes_.size() + bytes - 2);
  return *this;
}

PacketBuilder& PacketBuilder::Fragment(uint16_t offset_bytes, bool more) {
  const auto ip = std::find_if(marks_.rbegin(), marks_.rend(), [](const Mark& mark) {
    return mark.kind == Mark::Kind::kIpv4 || mark.kind == Mark::Kind::kIpv6;
  });
  STENO_CHECK(ip != marks_.rend() && offset_bytes % 8 == 0);
  if (ip->kind == Mark::Kind::kIpv4) {
    StoreBe(bytes_.data() + ip->offset + 6, static_cast<uint16_t>(offset_bytes / 8 | (more ? 0x2000 : 0)));
    return *this;
  }
  Next(0, wire::kIpFragment);
  Begin(Mark::Kind::kExtension);
  Append16(bytes_, 0);
  Append16(bytes_, static_cast<uint16_t>(offset_bytes | (more ? 1 : 0)));
  Append32(bytes_, 1);  // identification
  return *this;
}

PacketBuilder& PacketBuilder::Tcp(uint16_t src, uint16_t dst, uint8_t flags) {
  Next(0, wire::kIpTcp);
  Begin(Mark::Kind::kTcp);
  Append16(bytes_, src);
  Append16(bytes_, dst);
  Append32(bytes_, 1);
  Append32(bytes_, 0);
  Append16(bytes_, static_cast<uint16_t>(0x5000 | flags));
  Append16(bytes_, 65535);
  Append32(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Udp(uint16_t src, uint16_t dst) {
  Next(0, wire::kIpUdp);
  Begin(Mark::Kind::kUdp);
  Append16(bytes_, src);
  Append16(bytes_, dst);
  Append32(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Sctp(uint16_t src, uint16_t dst) {
  Next(0, wire::kIpSctp);
  Begin(Mark::Kind::kSctp);
  Append16(bytes_, src);
  Append16(bytes_, dst);
  Append32(bytes_, 1);
  Append32(bytes_, 0);
  return *this;
}

PacketBuilder& PacketBuilder::Icmp(uint8_t type, uint8_t code) {
  static constexpr uint8_t kIcmp = 1;
  Next(0, kIcmp);
  Begin(Mark::Kind::kIcmp);
  Append16(bytes_, static_cast<uint16_t>(type << 8 | code));
  Append16(bytes_, 0);
  Append32(bytes_, 0x00010001);
  return *this;
}

PacketBuilder& PacketBuilder::Icmp6(uint8_t type, uint8_t code) {
  static constexpr uint8_t kIcmp6 = 58;
  Next(0, kIcmp6);
  Begin(Mark::Kind::kIcmp6);
  Append16(bytes_, static_cast<uint16_t>(type << 8 | code));
  Append16(bytes_, 0);
  Append32(bytes_, 0x00010001);
  return *this;
}

PacketBuilder& PacketBuilder::Protocol(uint8_t number) {
  Next(0, number);
  return *this;
}

PacketBuilder& PacketBuilder::Gre(bool key, bool checksum, bool sequence) {
  Next(0, wire::kIpGre);
  Begin(Mark::Kind::kGre);
  Append16(bytes_,
           static_cast<uint16_t>((checksum ? 0x8000 : 0) | (key ? 0x2000 : 0) | (sequence ? 0x1000 : 0)));
  Append16(bytes_, 0);
  if (checksum) Append32(bytes_, 0);
  if (key) Append32(bytes_, 42);
  if (sequence) Append32(bytes_, 7);
  return *this;
}

PacketBuilder& PacketBuilder::Vxlan(uint32_t vni) {
  Udp(50000, wire::kPortVxlan);
  Begin(Mark::Kind::kOther);
  Append32(bytes_, 0x08000000);
  Append32(bytes_, vni << 8);
  return *this;
}

PacketBuilder& PacketBuilder::Geneve(uint32_t vni, unsigned option_bytes) {
  STENO_CHECK(option_bytes % 4 == 0 && option_bytes < 256);
  Udp(50001, wire::kPortGeneve);
  Begin(Mark::Kind::kGeneve);
  Append16(bytes_, static_cast<uint16_t>(option_bytes / 4 << 8));
  Append16(bytes_, 0);
  Append32(bytes_, vni << 8);
  bytes_.resize(bytes_.size() + option_bytes);
  return *this;
}

PacketBuilder& PacketBuilder::Gtp(uint32_t teid) {
  Udp(wire::kPortGtpU, wire::kPortGtpU);
  Begin(Mark::Kind::kGtp);
  Append16(bytes_, 0x30ff);
  Append16(bytes_, 0);
  Append32(bytes_, teid);
  return *this;
}

PacketBuilder& PacketBuilder::Payload(size_t bytes, uint8_t fill) {
  bytes_.resize(bytes_.size() + bytes, fill);
  return *this;
}

PacketBuilder& PacketBuilder::Raw(const std::vector<uint8_t>& bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

std::vector<uint8_t> PacketBuilder::Build() const {
  std::vector<uint8_t> frame = bytes_;
  // Lengths first, for checksums cover them; then inner headers before the outer ones that cover those.
  for (const Mark& mark : marks_) FillLength(mark, frame);
  for (size_t i = marks_.size(); i-- > 0;) FillChecksum(i, frame);
  return frame;
}

void PacketBuilder::FillLength(const Mark& mark, std::vector<uint8_t>& frame) {
  uint8_t* header = frame.data() + mark.offset;
  const size_t bytes = frame.size() - mark.offset;
  switch (mark.kind) {
    case Mark::Kind::kIpv4:
      StoreBe(header + 2, LengthField(bytes));
      break;
    case Mark::Kind::kIpv6:
      StoreBe(header + 4, LengthField(bytes - wire::kIpv6Bytes));
      break;
    case Mark::Kind::kUdp:
      StoreBe(header + 4, LengthField(bytes));
      break;
    case Mark::Kind::kGtp:
      StoreBe(header + 2, LengthField(bytes - 8));
      break;
    case Mark::Kind::kLength:
      StoreBe(header, static_cast<uint16_t>(std::min<size_t>(bytes - 2, wire::kMaxLength8023)));
      break;
    case Mark::Kind::kPppoe:
      StoreBe(header + 4, LengthField(bytes - 6));
      break;
    default:
      break;
  }
}

void PacketBuilder::FillChecksum(size_t index, std::vector<uint8_t>& frame) const {
  const Mark& mark = marks_[index];
  uint8_t* header = frame.data() + mark.offset;
  const size_t bytes = frame.size() - mark.offset;
  switch (mark.kind) {
    case Mark::Kind::kIpv4:
      StoreBe(header + 10, Fold(Sum(header, wire::kIpv4Bytes)));
      break;
    case Mark::Kind::kGre:
      if ((header[0] & 0x80) != 0) StoreBe(header + 4, Fold(Sum(header, bytes)));
      break;
    case Mark::Kind::kIcmp:
      StoreBe(header + 2, Fold(Sum(header, bytes)));
      break;
    case Mark::Kind::kIcmp6:
      StoreBe(header + 2, Fold(Sum(header, bytes, PseudoSum(index, frame, 58))));
      break;
    case Mark::Kind::kTcp:
      StoreBe(header + 16, Fold(Sum(header, bytes, PseudoSum(index, frame, wire::kIpTcp))));
      break;
    case Mark::Kind::kUdp: {
      const uint16_t checksum = Fold(Sum(header, bytes, PseudoSum(index, frame, wire::kIpUdp)));
      StoreBe(header + 6, checksum == 0 ? uint16_t{0xffff} : checksum);  // 0 would mean "none"
      break;
    }
    case Mark::Kind::kSctp:
      StoreLe(header + 8, Crc32c({header, bytes}));
      break;
    default:
      break;
  }
}

// The pseudo header of the nearest IP header outside of mark `index` (RFC 9293 section 3.1, RFC 8200
// section 8.1).
uint64_t PacketBuilder::PseudoSum(size_t index, const std::vector<uint8_t>& frame, uint8_t protocol) const {
  const uint64_t sum = protocol + (frame.size() - marks_[index].offset);
  while (index-- > 0) {
    const uint8_t* ip = frame.data() + marks_[index].offset;
    if (marks_[index].kind == Mark::Kind::kIpv4) return Sum(ip + 12, 8, sum);
    if (marks_[index].kind == Mark::Kind::kIpv6) return Sum(ip + 8, 32, sum);
  }
  return sum;
}

}  // namespace steno::testing
