// Flow keys from a file or from shared memory: any bytes are refused or are the one encoding of what they
// say; and what a term says of a flow holds for a packet of the flow in either direction.
//
// Links: steno_packet
//
// Input: byte 0 the key's kind, bytes 1-15 a term (see MakeTerm), the rest the key and what follows it.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "packet/flow_key.h"
#include "packet/term.h"

namespace {

using steno::PacketHeaders;
using steno::Term;
using steno::Tri;

constexpr size_t kTermBytes = 15;

Term MakeTerm(const uint8_t* bytes, const PacketHeaders& flow) {
  Term term;
  term.kind = static_cast<steno::TermKind>(bytes[0] % 8);
  term.side = static_cast<steno::Side>(bytes[1] % 4);
  term.layer_kinds = bytes[2] & 7;
  term.protocol = static_cast<int16_t>(bytes[3] % 2 == 0 ? -1 : bytes[4]);
  term.first = steno::LoadLe<uint32_t>(bytes + 5);
  term.last = term.first + bytes[9];
  std::copy_n(bytes + 9, term.mac.size(), term.mac.begin());
  // Addresses of the flow itself hit more often than random ones.
  const steno::Layer& layer = flow.layers[bytes[10] % flow.layers.size()];
  term.addresses = {std::min(layer.src, layer.dst), bytes[11] % 2 == 0 ? layer.src : layer.dst};
  if ((bytes[12] & 1) != 0) term.mac = flow.src_mac;
  return term;
}

void CheckTerm(const Term& term, const PacketHeaders& flow) {
  PacketHeaders back = flow;
  std::swap(back.src_mac, back.dst_mac);
  for (steno::Layer& layer : back.layers) {
    std::swap(layer.src, layer.dst);
    std::swap(layer.src_port, layer.dst_port);
  }
  const Tri answer = steno::MatchesFlow(term, flow);
  for (const PacketHeaders& packet : {flow, back}) {
    const bool matches = steno::Matches(term, packet);
    STENO_CHECK(answer != Tri::kYes || matches);
    STENO_CHECK(answer != Tri::kNo || !matches);
  }
  STENO_CHECK(!steno::ToString(term).empty() || term.layer_kinds == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 + kTermBytes) return 0;
  const auto kind = static_cast<steno::FlowKind>(data[0] % 4);
  const size_t bytes = size - 1 - kTermBytes;
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes]);
  std::copy_n(data + 1 + kTermBytes, bytes, exact.get());

  PacketHeaders flow;
  const auto status = steno::ParseFlowKey(kind, {exact.get(), bytes}, flow);
  if (!status.has_value()) {
    STENO_CHECK(status.error().code == steno::ErrorCode::kCorrupt);
    return 0;
  }
  steno::FlowKey again;
  steno::MakeFlowKey(flow, again);
  STENO_CHECK(again.kind == kind && again.size <= bytes);
  STENO_CHECK(std::equal(again.view().begin(), again.view().end(), exact.get()));
  STENO_CHECK(steno::FlowKeySize(kind, {exact.get(), bytes}) == again.size);
  CheckTerm(MakeTerm(data + 1, flow), flow);
  return 0;
}
