#include "packet/decode.h"

#include <algorithm>

#include "base/bytes.h"
#include "packet/decoder.h"
#include "packet/wire.h"

namespace steno {

void Decode(std::span<const uint8_t> frame, const StrippedTag& tag, PacketHeaders& out, LayerStarts* starts) {
  out = PacketHeaders{};
  internal::Decoder decoder(frame, out, starts);
  if (tag.present) decoder.AddVlan(tag.tci);
  decoder.Run();
}

namespace internal {

void Decoder::Run() {
  Step step = Ethernet();
  while (step.what != Step::What::kEnd && Spend()) {
    step = step.what == Step::What::kEthernet ? ReadEthernet() : ReadPayload(step.ether_type);
  }
}

bool Decoder::Skip(size_t bytes) {
  if (!Has(bytes)) {
    rest_ = {};
    return false;
  }
  rest_ = rest_.subspan(bytes);
  return true;
}

bool Decoder::Spend() {
  if (budget_ == 0) {
    out_.truncated_layers = true;
    return false;
  }
  --budget_;
  return true;
}

Layer* Decoder::AddLayer(LayerKind kind) {
  if (out_.layer_count == kMaxLayers) {
    out_.truncated_layers = true;
    return nullptr;
  }
  if (starts_ != nullptr) (*starts_)[out_.layer_count] = static_cast<size_t>(rest_.data() - frame_);
  Layer* layer = &out_.layers[out_.layer_count++];
  layer->kind = kind;
  return layer;
}

void Decoder::AddVlan(uint16_t tci) {
  if (out_.vlan_count == kMaxVlans) {
    out_.truncated_layers = true;
    return;
  }
  out_.vlans[out_.vlan_count++] = tci & wire::kVlanIdMask;
}

Decoder::Step Decoder::ReadEthernet() {
  if (outer_frame_ && Has(2 * wire::kMacBytes)) {
    std::copy_n(rest_.data(), wire::kMacBytes, out_.dst_mac.begin());
    std::copy_n(rest_.data() + wire::kMacBytes, wire::kMacBytes, out_.src_mac.begin());
    out_.has_macs = true;
  }
  outer_frame_ = false;
  if (!Has(wire::kEthernetBytes)) return End();
  const auto ether_type = LoadBe<uint16_t>(rest_.data() + 2 * wire::kMacBytes);
  Skip(wire::kEthernetBytes);
  return Payload(ether_type);
}

Decoder::Step Decoder::ReadPayload(uint16_t ether_type) {
  if (outer_tags_) out_.ether_type = ether_type <= wire::kMaxLength8023 ? 0 : ether_type;
  switch (ether_type) {
    case wire::kEtherVlan:
    case wire::kEtherServiceVlan:
    case wire::kEtherOldVlan1:
    case wire::kEtherOldVlan2:
      return ReadVlan();
    default:
      break;
  }
  outer_tags_ = false;
  switch (ether_type) {
    case wire::kEtherIpv4:
      return ReadIpv4();
    case wire::kEtherIpv6:
      return ReadIpv6();
    case wire::kEtherMpls:
    case wire::kEtherMplsUpstream:
      return ReadMpls();
    case wire::kEtherPppoeSession:
      return ReadPppoe();
    case wire::kEtherArp:
    case wire::kEtherRarp:
      ReadArp();
      return End();
    default:
      break;
  }
  // 802.3 with LLC (AA AA 03) and SNAP (organisation 00 00 00): an ether type follows.
  static constexpr std::array<uint8_t, 6> kSnap = {0xaa, 0xaa, 0x03, 0, 0, 0};
  if (ether_type > wire::kMaxLength8023 || !Has(kSnap.size() + 2)) return End();
  if (!std::equal(kSnap.begin(), kSnap.end(), rest_.begin())) return End();
  const auto snap_type = LoadBe<uint16_t>(rest_.data() + kSnap.size());
  Skip(kSnap.size() + 2);
  return snap_type <= wire::kMaxLength8023 ? End() : Payload(snap_type);
}

Decoder::Step Decoder::ReadVlan() {
  if (!Has(2)) return End();
  AddVlan(LoadBe<uint16_t>(rest_.data()));
  if (!Has(4)) return End();
  const auto ether_type = LoadBe<uint16_t>(rest_.data() + 2);
  Skip(4);
  return Payload(ether_type);
}

Decoder::Step Decoder::ReadMpls() {
  static constexpr uint32_t kBottomOfStack = 0x100;
  while (Has(4)) {
    if (!Spend()) return End();
    const auto entry = LoadBe<uint32_t>(rest_.data());
    Skip(4);
    if (out_.mpls_count == kMaxMplsLabels) {
      out_.truncated_layers = true;
    } else {
      out_.mpls_labels[out_.mpls_count++] = entry >> 12;
    }
    if ((entry & kBottomOfStack) != 0) return GuessMplsPayload();
  }
  return End();
}

// Nothing in a label stack says what it carries. The first four bits tell IPv4, IPv6 and the control word of
// a pseudowire (RFC 4928); what is behind a control word counts only if it looks like Ethernet with a payload
// we read.
Decoder::Step Decoder::GuessMplsPayload() {
  if (!Has(1)) return End();
  static constexpr unsigned kMinHeaderWords = 5;
  const unsigned nibble = rest_[0] >> 4;
  if (nibble == 4 && (rest_[0] & 0xfu) >= kMinHeaderWords) return Payload(wire::kEtherIpv4);
  if (nibble == 6) return Payload(wire::kEtherIpv6);
  static constexpr size_t kControlWordBytes = 4;
  if (nibble != 0 || !Has(kControlWordBytes + wire::kEthernetBytes)) return End();
  switch (LoadBe<uint16_t>(rest_.data() + kControlWordBytes + 2 * wire::kMacBytes)) {
    case wire::kEtherIpv4:
    case wire::kEtherIpv6:
    case wire::kEtherArp:
    case wire::kEtherVlan:
    case wire::kEtherServiceVlan:
    case wire::kEtherMpls:
    case wire::kEtherPppoeSession:
      Skip(kControlWordBytes);
      return Ethernet();
    default:
      return End();
  }
}

// RFC 2516: version and type, code, session id, length; then the PPP protocol.
Decoder::Step Decoder::ReadPppoe() {
  static constexpr size_t kPppoeBytes = 6;
  if (!Has(kPppoeBytes + 2)) return End();
  const auto protocol = LoadBe<uint16_t>(rest_.data() + kPppoeBytes);
  Skip(kPppoeBytes + 2);
  if (protocol == wire::kPppIpv4) return Payload(wire::kEtherIpv4);
  if (protocol == wire::kPppIpv6) return Payload(wire::kEtherIpv6);
  return End();
}

// RFC 826: hardware type, protocol type, hardware and protocol address lengths, operation, then the four
// addresses.
void Decoder::ReadArp() {
  static constexpr size_t kArpBytes = 8;
  if (!Has(kArpBytes)) return;
  const size_t hardware_bytes = rest_[4];
  if (LoadBe<uint16_t>(rest_.data() + 2) != wire::kEtherIpv4 || rest_[5] != 4) return;
  if (!Has(kArpBytes + 2 * (hardware_bytes + 4))) return;
  Layer* layer = AddLayer(LayerKind::kArp);
  if (layer == nullptr) return;
  const uint8_t* sender = rest_.data() + kArpBytes + hardware_bytes;
  layer->src = Address::FromV4Bytes(sender);
  layer->dst = Address::FromV4Bytes(sender + 4 + hardware_bytes);
}

}  // namespace internal
}  // namespace steno
