// What the flow index costs: insertion and sealing time per packet on one core, bytes per packet, and query
// times, over synthetic traffic in ring blocks. Prints one line per kind of traffic; each time is the best of
// three runs. CPU time of the one thread.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mapping.h"
#include "index/builder.h"
#include "index/live_index.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::PacketBuilder;

constexpr int kRuns = 3;

// A conversation between two of 32 k hosts, addresses of which are drawn with a preference for few.
struct Traffic {
  const char* name;
  uint32_t flows;  // 0: every packet is a new flow
  uint32_t packets;
  std::vector<uint32_t> frame_bytes;  // drawn at random
  bool ipv6 = false;
  bool tunnel = false;
};

struct Workload {
  std::vector<std::vector<uint8_t>> blocks;
  std::vector<uint64_t> offsets;
  uint64_t packets = 0;
  uint64_t file_bytes = 0;
};

uint32_t RandomHost(std::mt19937_64& random) {
  const auto spread = static_cast<uint32_t>(random() % 15);
  return 0x0a000000u + static_cast<uint32_t>(random() % (2u << spread));
}

std::vector<uint8_t> MakeFrame(const Traffic& traffic, uint64_t flow) {
  std::mt19937_64 random(flow);  // a flow is its number
  const auto v6 = [&] { return ToString(Address::V6(0x20010db800000000, RandomHost(random))); };
  const auto v4 = [&] { return ToString(Address::V4(RandomHost(random))); };
  PacketBuilder builder;
  builder.Ethernet();
  if (traffic.tunnel) builder.Ipv4("172.16.0.1", "172.16.0.2").Vxlan(7).Ethernet();
  if (traffic.ipv6) {
    builder.Ipv6(v6(), v6());
  } else {
    builder.Ipv4(v4(), v4());
  }
  const uint16_t services[] = {443, 443, 443, 80, 53, 22, 8080, static_cast<uint16_t>(random())};
  const auto port = static_cast<uint16_t>(32768 + random() % 28000);
  if (random() % 4 == 0) {
    builder.Udp(port, services[random() % 8]);
  } else {
    builder.Tcp(port, services[random() % 8]);
  }
  return builder.Build();
}

Workload MakeWorkload(const Traffic& traffic) {
  Workload workload;
  std::mt19937_64 random(1);
  testing::BlockBuilder block;
  const auto end_block = [&] {
    const auto bytes = block.Block();
    workload.blocks.emplace_back(bytes.begin(), bytes.end());
    workload.offsets.push_back(workload.file_bytes);
    workload.file_bytes += AlignUp(bytes.size(), kDiskAlignment);
    block.Clear();
  };
  std::vector<std::vector<uint8_t>> frames;
  for (uint32_t flow = 0; flow < traffic.flows; ++flow) frames.push_back(MakeFrame(traffic, flow));
  // Flows come and go: a window of them moves over all; within it a few have most of the packets.
  const uint32_t window = std::max(1u, traffic.flows / 10);
  for (uint32_t i = 0; i < traffic.packets; ++i) {
    const uint64_t base = traffic.flows == 0 ? 0 : uint64_t{i} * (traffic.flows - window) / traffic.packets;
    const uint64_t skew = random() % window * (random() % window) / window;
    std::vector<uint8_t> frame = traffic.flows == 0 ? MakeFrame(traffic, random()) : frames[base + skew];
    frame.resize(std::max<size_t>(frame.size(), traffic.frame_bytes[random() % traffic.frame_bytes.size()]));
    const int64_t time = 1'700'000'000'000'000'000 + i * int64_t{700};
    if (!block.Add(frame, time)) {
      end_block();
      block.Add(frame, time);
    }
    ++workload.packets;
  }
  end_block();
  return workload;
}

double NsPer(uint64_t count, const std::function<void()>& work) {
  int64_t best = INT64_MAX;
  for (int run = 0; run < kRuns; ++run) {
    const int64_t start = ThreadCpuNs();
    work();
    best = std::min(best, ThreadCpuNs() - start);
  }
  return static_cast<double>(best) / static_cast<double>(std::max<uint64_t>(count, 1));
}

// Insertion as the capture thread does it: the kernel has just written the block, so it is in a cache (of the
// size of the second level; `warm`), or it is not.
double InsertNs(const Workload& workload, const SegmentMemory& segment, IndexBuilder& builder, bool warm) {
  int64_t best = INT64_MAX;
  std::vector<uint8_t> ring(kDefaultBlockBytes);
  for (int run = 0; run < kRuns; ++run) {
    segment.Reset(1, 1, "");
    builder.Begin(&segment);
    int64_t spent = 0;
    for (size_t i = 0; i < workload.blocks.size(); ++i) {
      std::span<const uint8_t> block = workload.blocks[i];
      if (warm)
        block = {ring.data(), static_cast<size_t>(std::ranges::copy(block, ring.begin()).out - ring.begin())};
      const int64_t start = ThreadCpuNs();
      builder.AddBlock(block, workload.offsets[i], 0);
      spent += ThreadCpuNs() - start;
    }
    best = std::min(best, spent);
  }
  return static_cast<double>(best) / static_cast<double>(workload.packets);
}

double QueryMs(const FlowIndex& index, const Term& term) {
  return NsPer(1, [&] { (void)index.Granules(index.Match(term).value().may).value(); }) / 1e6;
}

// The segment's file with `name` in `directory`, and what it cost.
void Measure(const Traffic& traffic, const std::string& directory) {
  const Workload workload = MakeWorkload(traffic);
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  IndexBuilder builder = IndexBuilder::Create().value();
  const double cold_ns = InsertNs(workload, segment, builder, false);
  const double warm_ns = InsertNs(workload, segment, builder, true);
  builder.Publish(static_cast<uint32_t>(workload.blocks.size()));
  const SegmentSnapshot snapshot = SegmentSnapshot::Take(segment).value();
  const double seal_ns =
      NsPer(workload.packets, [&] { STENO_CHECK(SealSegment(snapshot, directory, "1").has_value()); });
  const IndexSummary summary = ReadIndexSummary(directory + "/1").value();

  Term host;
  host.addresses =
      Prefix(ParseAddress(traffic.ipv6 ? "2001:db8::a00:1" : "10.0.0.1").value(), traffic.ipv6 ? 128 : 32);
  Term port;
  port.kind = TermKind::kPort;
  port.first = port.last = 53;
  const auto live = MakeLiveIndex(segment).value();
  const auto sealed = OpenSealedIndex(directory + "/1").value();
  const double index_bytes = static_cast<double>(summary.index_bytes);
  fmt::print(
      "{:11} {:8} {:7} {:6.1f} {:6.1f} {:6.1f} {:6.1f} {:6.2f} {:6.1f} {:6.2f} {:6.2f} {:6.2f} {:6.2f}{}\n",
      traffic.name, workload.packets, summary.flows, warm_ns, 1e3 / warm_ns, cold_ns, seal_ns,
      index_bytes / static_cast<double>(workload.packets), index_bytes / std::max(1u, summary.flows),
      QueryMs(*live, host), QueryMs(*live, port), QueryMs(*sealed, host), QueryMs(*sealed, port),
      builder.full() ? "  full" : "");
}

void Run(const std::string& directory) {
  fmt::print("{:11} {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>13} {:>13}\n", "", "", "", "insert",
             "insert", "insert", "seal", "index", "index", "live ms", "sealed ms");
  fmt::print("{:11} {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}\n", "traffic",
             "packets", "flows", "ns", "Mpps", "cold", "ns", "B/pkt", "B/flow", "host", "port", "host",
             "port");
  const std::vector<uint32_t> mix = {60, 60, 60, 60, 60, 60, 60, 594, 594, 594, 594, 1514};
  const Traffic all[] = {
      {.name = "imix 65k", .flows = 65536, .packets = 1'000'000, .frame_bytes = mix},
      {.name = "large 65k", .flows = 65536, .packets = 1'000'000, .frame_bytes = {200, 1514, 1514, 60}},
      {.name = "small 4k", .flows = 4096, .packets = 1'000'000, .frame_bytes = {60}},
      {.name = "small 300k", .flows = 300'000, .packets = 2'000'000, .frame_bytes = {60}},
      {.name = "ipv6 65k", .flows = 65536, .packets = 1'000'000, .frame_bytes = mix, .ipv6 = true},
      {.name = "vxlan 65k", .flows = 65536, .packets = 1'000'000, .frame_bytes = mix, .tunnel = true},
      {.name = "flood", .flows = 0, .packets = 400'000, .frame_bytes = {60}},
  };
  for (const Traffic& traffic : all) Measure(traffic, directory);
}

}  // namespace
}  // namespace steno

int main() {
  const steno::testing::TempDir directory;
  steno::Run(directory.path());
}
