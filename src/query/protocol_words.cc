// The words ip, tcp, arp ... of the pcap-filter syntax.
#include <array>

#include "query/filter_primitive.h"

namespace steno::internal {

namespace {

Term NumberIs(TermKind kind, uint32_t number) { return NumberTerm(kind, {number, number}); }

Term LayerIs(uint8_t layer_kinds) {
  Term term;
  term.kind = TermKind::kLayer;
  term.layer_kinds = layer_kinds;
  return term;
}

// Ether types: <linux/if_ether.h>; protocol numbers: IANA.
std::array<ProtocolWord, 10> MakeWords() {
  const Term arp = NumberIs(TermKind::kEtherType, 0x0806);
  const Term rarp = NumberIs(TermKind::kEtherType, 0x8035);
  const auto protocol = [](uint32_t number) { return NumberIs(TermKind::kProtocol, number); };
  return {{
      {"ip", LayerIs(kLayerBitIpv4), "host net proto ", kLayerBitIpv4, -1},
      {"ip6", LayerIs(kLayerBitIpv6), "host net proto ", kLayerBitIpv6, -1},
      {"arp", arp, "host net ", kLayerBitArp, -1},
      {"rarp", rarp, "host net ", kLayerBitArp, -1},
      {"tcp", protocol(6), "port portrange ", 0, 6},
      {"udp", protocol(17), "port portrange ", 0, 17},
      {"sctp", protocol(132), "port portrange ", 0, 132},
      {"icmp", protocol(1), "", 0, -1},
      {"icmp6", protocol(58), "", 0, -1},
      {"ether", std::nullopt, "host proto ", 0, -1},
  }};
}

}  // namespace

const ProtocolWord* FindProtocolWord(std::string_view word) {
  static const std::array<ProtocolWord, 10> kWords = MakeWords();
  for (const ProtocolWord& entry : kWords) {
    if (EqualsIgnoringCase(entry.name, word)) return &entry;
  }
  return nullptr;
}

}  // namespace steno::internal
