#include "query/packet_filter.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "packet/decode.h"
#include "packet/wire.h"

namespace steno {
namespace {

using Bytes = std::span<const uint8_t>;
using PcapHandle = std::unique_ptr<pcap_t, decltype(&pcap_close)>;

// The longest packet that there can be; compiled programs return it for a match.
constexpr int kSnapLen = 262144;
// What they return here for none: 0 is left to programs that end early, at bytes that are not there.
constexpr u_int kRejected = 1;
constexpr size_t kMacsBytes = 2 * wire::kMacBytes;
constexpr size_t kTagBytes = 4;
constexpr size_t kTypeBytes = 2;

bool IsVlanType(uint16_t ether_type) {
  return ether_type == wire::kEtherVlan || ether_type == wire::kEtherServiceVlan ||
         ether_type == wire::kEtherOldVlan1 || ether_type == wire::kEtherOldVlan2;
}

// The frame with the tag behind its two MAC addresses.
std::vector<uint8_t> WithTag(Bytes frame, const StrippedTag& tag) {
  const size_t macs = std::min(frame.size(), kMacsBytes);
  std::vector<uint8_t> sent(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(macs));
  sent.reserve(frame.size() + kTagBytes);
  if (macs < kMacsBytes) return sent;  // it was cut off before the place of the tag
  sent.resize(macs + kTagBytes);
  StoreBe(sent.data() + macs, tag.tpid);
  StoreBe(sent.data() + macs + kTypeBytes, tag.tci);
  sent.insert(sent.end(), frame.begin() + static_cast<std::ptrdiff_t>(macs), frame.end());
  return sent;
}

// An Ethernet frame of `ether_type` whose payload is what starts at `offset` of `frame`.
std::vector<uint8_t> Reframe(Bytes frame, size_t offset, uint16_t ether_type) {
  std::vector<uint8_t> inner(wire::kEthernetBytes);
  std::copy_n(frame.begin(), std::min(frame.size(), kMacsBytes), inner.begin());
  StoreBe(inner.data() + kMacsBytes, ether_type);
  inner.insert(inner.end(), frame.begin() + static_cast<std::ptrdiff_t>(offset), frame.end());
  return inner;
}

// Where the payload behind all VLAN tags starts; its ether type is right before. 0: the frame ends earlier.
size_t PayloadStart(Bytes frame) {
  size_t start = wire::kEthernetBytes;
  while (start <= frame.size()) {
    if (!IsVlanType(LoadBe<uint16_t>(frame.data() + start - kTypeBytes))) return start;
    start += kTagBytes;
  }
  return 0;
}

uint16_t EtherTypeOf(const Layer& layer, Bytes frame, size_t start) {
  if (layer.kind == LayerKind::kIpv4) return wire::kEtherIpv4;
  if (layer.kind == LayerKind::kIpv6) return wire::kEtherIpv6;
  return LoadBe<uint16_t>(frame.data() + start - kTypeBytes);  // ARP or RARP: only Ethernet carries them
}

// One Ethernet header, no tags, at most one layer: the frame as it is shows everything.
bool IsPlain(const PacketHeaders& headers) {
  const bool direct = headers.layer_count == 0 || headers.ether_type == wire::kEtherIpv4 ||
                      headers.ether_type == wire::kEtherIpv6 || headers.ether_type == wire::kEtherArp ||
                      headers.ether_type == wire::kEtherRarp;
  return direct && headers.layer_count <= 1 && headers.vlan_count == 0;
}

}  // namespace

struct PacketFilter::Program {
  bpf_program bpf{};

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { ::pcap_freecode(&bpf); }
};

Result<std::shared_ptr<const PacketFilter>> PacketFilter::Compile(std::string text, Reach reach) {
  const PcapHandle handle(::pcap_open_dead(DLT_EN10MB, kSnapLen), &::pcap_close);
  if (!handle) return Fail(Error::Invalid("libpcap: out of memory"));
  auto program = std::make_unique<Program>();
  // Not optimised: the optimiser refuses filters that can match nothing, and takes its time for hostile ones.
  if (::pcap_compile(handle.get(), &program->bpf, text.c_str(), 0, PCAP_NETMASK_UNKNOWN) != 0) {
    return Fail(Error::Invalid(::pcap_geterr(handle.get())));
  }
  for (bpf_insn& instruction : std::span(program->bpf.bf_insns, program->bpf.bf_len)) {
    if (instruction.code == (BPF_RET | BPF_K) && instruction.k == 0) instruction.k = kRejected;
    // "protochain" jumps back, and on hostile packets for ever.
    if (instruction.code == (BPF_JMP | BPF_JA) && static_cast<int32_t>(instruction.k) < 0)
      return Fail(Error::Invalid("its program has a loop"));
  }
  return std::shared_ptr<const PacketFilter>(new PacketFilter(std::move(text), reach, std::move(program)));
}

PacketFilter::PacketFilter(std::string text, Reach reach, std::unique_ptr<Program> program)
    : text_(std::move(text)), reach_(reach), program_(std::move(program)) {}

PacketFilter::~PacketFilter() = default;

PacketFilter::Verdict PacketFilter::Run(Bytes frame, uint32_t wire_bytes) const {
  switch (::bpf_filter(program_->bpf.bf_insns, frame.data(), wire_bytes, static_cast<u_int>(frame.size()))) {
    case 0:
      return Verdict::kCannotTell;
    case kRejected:
      return Verdict::kNo;
    default:
      return Verdict::kYes;
  }
}

PacketFilter::Verdict PacketFilter::Test(const PacketView& packet, const PacketHeaders& headers) const {
  const uint32_t wire_bytes = packet.original_bytes + (packet.tag.present ? uint32_t{kTagBytes} : 0);
  const Verdict as_sent =
      packet.tag.present ? Run(WithTag(packet.frame, packet.tag), wire_bytes) : Run(packet.frame, wire_bytes);
  if (as_sent == Verdict::kYes || reach_ == Reach::kFrame || IsPlain(headers)) return as_sent;
  const Verdict inside = TestInside(packet, wire_bytes);
  return inside == Verdict::kNo ? as_sent : inside;
}

// Behind the tags, and at each layer: kYes if some place says so, else kCannotTell if some does.
PacketFilter::Verdict PacketFilter::TestInside(const PacketView& packet, uint32_t wire_bytes) const {
  const Bytes frame = packet.frame;
  Verdict verdict = Verdict::kNo;
  const auto is_at = [&](size_t start, uint16_t ether_type) {
    const Verdict here = Run(Reframe(frame, start, ether_type), wire_bytes);
    if (here != Verdict::kNo) verdict = here;
    return here == Verdict::kYes;
  };
  const size_t payload = PayloadStart(frame);
  if (payload != 0 && is_at(payload, LoadBe<uint16_t>(frame.data() + payload - kTypeBytes))) return verdict;
  PacketHeaders headers;
  LayerStarts starts{};
  Decode(frame, packet.tag, headers, &starts);
  for (unsigned i = 0; i < headers.layer_count; ++i) {
    if (starts[i] == payload) continue;
    if (is_at(starts[i], EtherTypeOf(headers.layers[i], frame, starts[i]))) return verdict;
  }
  return verdict;
}

}  // namespace steno
