// What the flow index costs: insertion by stage and state of the caches, sealing, memory, bytes per packet by
// section, and query times; beside it a model of the predecessor's index. One core. A segment is filled until
// it is full or the traffic has sent enough. Times are CPU time, the best of three runs; insertion is
// measured with the blocks
//   in L2    one at a time, just written by this core
//   in L3    as many at a time as the recorder takes, as many blocks after they were written
//   in DRAM  the same, flushed from all caches
// Usage: index_bench [TRAFFIC...]   (default: all)
#include <fmt/format.h>
#include <immintrin.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mapping.h"
#include "frame_stream.h"
#include "index/builder.h"
#include "index/flow_table.h"
#include "index/live_index.h"
#include "index/packet_scout.h"
#include "index/sealed_file.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "meter.h"
#include "posting_maps.h"
#include "storage/packet_view.h"
#include "testing/temp_dir.h"

namespace steno::bench {
namespace {

constexpr int kRuns = 3;
constexpr double kMiB = 1 << 20;

struct Workload {
  const char* name;
  std::function<TrafficPtr()> make;
  uint64_t packets;
  const char* host;  // to ask for
};

enum class Cache { kL2, kL3, kDram };

struct Block {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(kDefaultBlockBytes);
  size_t used = 0;
  uint32_t packets = 0;
  [[nodiscard]] std::span<const uint8_t> view() const { return {bytes.data(), used}; }
};

// Calls visit(blocks) with blocks of a traffic in the wanted state of the caches, as many as the recorder
// takes at once, until it returns false or `packets` have been shown.
void ShowBlocks(const Workload& workload, Cache cache,
                const std::function<bool(std::span<const Block>)>& visit) {
  const size_t group = cache == Cache::kL2 ? 1 : PacketScout::kMaxBlocks;
  std::vector<Block> ring(2 * group);
  BlockStream stream(workload.make());
  uint64_t shown = 0;
  for (size_t round = 0; shown < workload.packets; ++round) {
    const auto filled = std::span(ring).subspan(round % 2 * group, group);
    for (Block& block : filled) {
      block.used = static_cast<size_t>(std::ranges::copy(stream.Next(), block.bytes.begin()).out -
                                       block.bytes.begin());
      block.packets = stream.packets();
      for (size_t at = 0; cache == Cache::kDram && at < block.used; at += 64)
        _mm_clflush(block.bytes.data() + at);
    }
    if (cache == Cache::kDram) _mm_mfence();
    // In L3 are those of the round before.
    const auto ready = cache == Cache::kL3 ? std::span(ring).subspan((round + 1) % 2 * group, group) : filled;
    if (ready.front().used == 0) continue;
    if (!visit(ready)) return;
    for (const Block& block : ready) shown += block.packets;
  }
}

struct PerPacket {
  double ns = 0;
  double cycles = 0;
};

PerPacket Per(const Cost& cost, uint64_t packets) {
  const auto count = static_cast<double>(std::max<uint64_t>(packets, 1));
  return {static_cast<double>(cost.ns) / count, static_cast<double>(cost.cycles) / count};
}

PerPacket Best(const std::function<PerPacket()>& run) {
  PerPacket best{1e9, 1e9};
  for (int i = 0; i < kRuns; ++i) {
    const PerPacket now = run();
    if (now.ns < best.ns) best = now;
  }
  return best;
}

// The stages of insertion before the flow table: walking and decoding, and hashing and prefetching on top of
// that.
PerPacket StageCost(const Workload& workload, bool hash) {
  FlowTable table = FlowTable::Create().value();
  return Best([&] {
    table.Start();
    Meter meter;
    Cost cost;
    uint64_t packets = 0;
    uint64_t sum = 0;
    Workload part = workload;
    part.packets = std::min<uint64_t>(part.packets, 1'000'000);
    ShowBlocks(part, Cache::kL2, [&](std::span<const Block> blocks) {
      const auto block = blocks.front().view();
      std::array<FlowKey, 16> keys;
      size_t batch = 0;
      meter.Start();
      PacketWalk walk(block, kFirstPacketOffset, block.size(), 0);
      while (const PacketView* packet = walk.Next()) {
        FlowKey& key = keys[batch++ % keys.size()];
        FrameToFlowKey(packet->frame, packet->tag, key);
        if (hash) {
          const uint64_t value = table.Hash(key);
          table.Prefetch(value);
          sum += value;
        }
      }
      cost += meter.Stop();
      packets += blocks.front().packets;
      return true;
    });
    STENO_CHECK(!hash || sum != 0);
    return Per(cost, packets);
  });
}

// Fills a segment; how many packets it took is in `packets`.
PerPacket InsertCost(const Workload& workload, Cache cache, const SegmentMemory& segment,
                     IndexBuilder& builder, uint64_t& packets) {
  segment.Reset(1, 1, "");
  builder.Begin(&segment);
  Meter meter;
  Cost cost;
  uint32_t count = 0;
  uint64_t offset = 0;
  packets = 0;
  std::vector<std::span<const uint8_t>> ahead;
  ShowBlocks(workload, cache, [&](std::span<const Block> blocks) {
    ahead.clear();
    for (const Block& block : blocks) ahead.push_back(block.view());
    meter.Start();
    if (blocks.size() > 1) builder.LookAhead(ahead);
    cost += meter.Stop();
    for (const Block& block : blocks) {
      if (builder.full() || offset + block.used > kMaxFileBytes) return false;
      meter.Start();
      builder.AddBlock(block.view(), offset, 0);
      cost += meter.Stop();
      offset += AlignUp(block.used, kDiskAlignment);
      packets += block.packets;
      ++count;
    }
    return true;
  });
  builder.Publish(count);
  return Per(cost, packets);
}

struct MapsCost {
  PerPacket insert;
  double bytes = 0;
};

MapsCost MeasureMaps(const Workload& workload) {
  PostingMaps maps;
  Meter meter;
  Cost cost;
  uint32_t packets = 0;
  PacketHeaders headers;
  Workload part = workload;
  part.packets = std::min<uint64_t>(part.packets, 2'000'000);
  ShowBlocks(part, Cache::kL2, [&](std::span<const Block> blocks) {
    const auto block = blocks.front().view();
    meter.Start();
    PacketWalk walk(block, kFirstPacketOffset, block.size(), 0);
    while (const PacketView* packet = walk.Next()) {
      Decode(packet->frame, packet->tag, headers);
      maps.Add(headers, packets++);
    }
    cost += meter.Stop();
    return true;
  });
  return {Per(cost, packets), static_cast<double>(maps.WrittenBytes()) / packets};
}

double QueryMs(const FlowIndex& index, const Term& term) {
  Meter meter;
  const PerPacket cost = Best([&] {
    meter.Start();
    (void)index.Granules(index.Match(term).value().may).value();
    return Per(meter.Stop(), 1);
  });
  return cost.ns / 1e6;
}

constexpr std::array<const char*, 15> kSectionNames = {
    "",       "services",  "codes",  "ports",    "vlans",    "general",  "open",  "postings",
    "groups", "addresses", "fences", "bloom v4", "bloom v6", "granules", "blocks"};

void PrintSections(const std::string& path, uint64_t packets) {
  const auto file = SealedFile::Open(path).value();
  std::string line;
  for (size_t id = 1; id < kSectionNames.size(); ++id) {
    const uint64_t bytes = file->SectionBytes(static_cast<SectionId>(id));
    if (bytes == 0) continue;
    line += fmt::format(" {} {:.3f}", kSectionNames[id],
                        static_cast<double>(bytes) / static_cast<double>(packets));
  }
  fmt::print("  bytes per packet by section:{}\n", line);
}

void PrintQueries(const Workload& workload, const SegmentMemory& segment, const std::string& path) {
  const Address address = ParseAddress(workload.host).value();
  Term host;
  host.addresses = Prefix(address, address.family == 4 ? 32 : 128);
  Term port;
  port.kind = TermKind::kPort;
  port.first = port.last = 53;
  const auto live = MakeLiveIndex(segment).value();
  const auto sealed = OpenSealedIndex(path).value();
  fmt::print("  queries, ms: live host {:.2f} port {:.2f}, sealed host {:.2f} port {:.2f}\n",
             QueryMs(*live, host), QueryMs(*live, port), QueryMs(*sealed, host), QueryMs(*sealed, port));
}

void Measure(const Workload& workload, const std::string& directory) {
  const PerPacket decode = StageCost(workload, false);
  const PerPacket hash = StageCost(workload, true);
  ::malloc_trim(0);
  const uint64_t before = StatusBytes("VmRSS");
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  IndexBuilder builder = IndexBuilder::Create().value();
  uint64_t packets = 0;
  const PerPacket dram = Best([&] { return InsertCost(workload, Cache::kDram, segment, builder, packets); });
  const PerPacket l3 = Best([&] { return InsertCost(workload, Cache::kL3, segment, builder, packets); });
  const PerPacket l2 = Best([&] { return InsertCost(workload, Cache::kL2, segment, builder, packets); });
  ::malloc_trim(0);
  const uint64_t live = StatusBytes("VmRSS") - before;

  const SegmentSnapshot snapshot = SegmentSnapshot::Take(segment).value();
  ResetPeak();
  const uint64_t resident = StatusBytes("VmRSS");
  Meter meter;
  Sealer sealer = Sealer::Create().value();
  const PerPacket seal = Best([&] {
    meter.Start();
    STENO_CHECK(sealer.Seal(snapshot, directory, "1").has_value());
    return Per(meter.Stop(), packets);
  });
  const uint64_t sealing = StatusBytes("VmHWM") - resident;
  const std::string path = directory + "/1";
  const IndexSummary summary = ReadIndexSummary(path).value();
  const MapsCost maps = MeasureMaps(workload);

  const auto count = static_cast<double>(packets);
  const double bytes = static_cast<double>(summary.index_bytes) / count;
  const auto flows = static_cast<double>(std::max(1u, summary.flows));
  fmt::print("{}: {} packets, {} flows, {:.2f} pairs per packet, {} MiB of file, segment {}\n", workload.name,
             packets, summary.flows, static_cast<double>(snapshot.pairs.size()) / count,
             summary.packet_file_bytes >> 20, builder.full() ? "full" : "not full");
  fmt::print(
      "  insert, ns per packet: in L2 {:.1f} = decode {:.1f} + hash {:.1f} + insert {:.1f} ({:.1f} Mpps); in "
      "L3 "
      "{:.1f} ({:.1f}); in DRAM {:.1f} ({:.1f})\n",
      l2.ns, decode.ns, hash.ns - decode.ns, l2.ns - hash.ns, 1e3 / l2.ns, l3.ns, 1e3 / l3.ns, dram.ns,
      1e3 / dram.ns);
  if (l2.cycles > 0)
    fmt::print("  insert, cycles per packet: in L2 {:.0f}, in L3 {:.0f}, in DRAM {:.0f}\n", l2.cycles,
               l3.cycles, dram.cycles);
  fmt::print("  seal: {:.1f} ns per packet, {:.0f} per flow; {:.2f} bytes per packet, {:.1f} per flow\n",
             seal.ns, seal.ns * count / flows, bytes, bytes * count / flows);
  PrintSections(path, packets);
  fmt::print("  memory, MiB: table and segment {:.0f}, sealing {:.0f} more\n",
             static_cast<double>(live) / kMiB, static_cast<double>(sealing) / kMiB);
  PrintQueries(workload, segment, path);
  fmt::print(
      "  posting maps: insert {:.0f} ns per packet ({:.1f} times ours), {:.1f} bytes ({:.1f} times ours)\n\n",
      maps.insert.ns, maps.insert.ns / l2.ns, maps.bytes, maps.bytes / bytes);
}

std::vector<Workload> Workloads() {
  const auto conversations = [](uint32_t flows, std::vector<uint32_t> bytes, bool ipv6, bool vxlan) {
    return [=] {
      return MakeConversations({.flows = flows, .frame_bytes = bytes, .ipv6 = ipv6, .vxlan = vxlan});
    };
  };
  const auto imix = ImixBytes();
  return {
      {"mix", [] { return MakeMix(MixDirectory()); }, 20'000'000, "10.0.0.1"},
      {"imix-65k", conversations(65536, imix, false, false), 2'000'000, "10.0.0.1"},
      {"imix-320k", conversations(320'000, imix, false, false), 2'000'000, "10.0.0.1"},
      {"small-4k", conversations(4096, {60}, false, false), 2'000'000, "10.0.0.1"},
      {"ipv6-65k", conversations(65536, imix, true, false), 2'000'000, "2001:db8::a00:1"},
      {"vxlan-65k", conversations(65536, imix, false, true), 2'000'000, "10.0.0.1"},
      {"flood", [] { return MakeFlood(false); }, 600'000, "10.0.0.1"},
      {"flood6", [] { return MakeFlood(true); }, 600'000, "2001:db8::2"},
  };
}

}  // namespace
}  // namespace steno::bench

int main(int argc, char** argv) {
  const std::vector<std::string_view> wanted(argv + 1, argv + argc);
  const steno::testing::TempDir directory;
  for (const auto& workload : steno::bench::Workloads()) {
    if (!wanted.empty() && std::ranges::find(wanted, workload.name) == wanted.end()) continue;
    if (!workload.make()) {
      fmt::print("{}: no captures in {}\n\n", workload.name, steno::bench::MixDirectory());
      continue;
    }
    steno::bench::Measure(workload, directory.path());
  }
}
