// The whole language at once: random texts of both syntaxes over packets with every encapsulation. The answer
// of a store with its indexes is what reading and testing every packet gives, also for the text that a parsed
// query prints; and on packets without encapsulation libpcap thinks the same of the texts that tcpdump has.
//
// STENO_SEED repeats a run, STENO_QUERIES makes it longer, STENO_TEST_PCAPS names a directory of captures
// whose packets are used as well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>

#include "base/clock.h"
#include "packet/wire.h"
#include "pcap/pcap_reader.h"
#include "query/parse.h"
#include "query/query_text_test.h"
#include "query/store_builder_test.h"

namespace steno {
namespace {

using namespace steno::testing;

constexpr int64_t kMs = kNsPerMs;
constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);
constexpr int64_t kEndNs = kTestStartNs + 6 * kNsPerSecond;
constexpr uint64_t kQueries = 2500;

class LanguageTest : public ::testing::Test {
 protected:
  LanguageTest() { std::printf("STENO_SEED=%llu\n", static_cast<unsigned long long>(seed_)); }

  // What `text` finds, checked against reading everything.
  std::vector<TestPacket> Check(const std::string& text, const StoreBuilder& builder,
                                const StoreSnapshot& snapshot, int64_t now_ns) {
    const auto query = ParseQuery(text, now_ns);
    EXPECT_TRUE(query) << text << "\n" << QueryErrorText(query.error());
    if (!query) return {};
    const std::string printed = ToString(**query);
    const auto again = ParseQuery(printed, 0);
    EXPECT_TRUE(again) << text << "\n" << printed << "\n" << QueryErrorText(again.error());
    if (!again) return {};
    EXPECT_EQ(ToString(**again), printed) << text;

    const Answer answer = Ask(**query, snapshot);
    EXPECT_TRUE(answer.status) << answer.status.error().message;
    const std::vector<TestPacket> expected = builder.Expected(**query);
    EXPECT_EQ(Difference(answer.packets, expected), "") << text << "\n" << printed;
    EXPECT_EQ(Difference(builder.Expected(**again), expected), "") << text << "\n" << printed;
    return answer.packets;
  }

  const uint64_t seed_ = NumberFromEnvironment("STENO_SEED", std::random_device{}());
  const uint64_t queries_ = NumberFromEnvironment("STENO_QUERIES", kQueries);
  std::mt19937_64 random_{seed_};
};

TEST_F(LanguageTest, RandomTextsOverEveryEncapsulationEqualBruteForce) {
  StoreBuilder builder(2);
  for (uint32_t thread = 0; thread < 2; ++thread) {
    for (uint64_t file = 0; file < 2; ++file) {
      const int64_t start = kTestStartNs + static_cast<int64_t>(file) * 1500 * kMs;
      builder.AddFile(thread, kId + file * 1'500'000, MakeBlocks(random_, 300, start, 5 * kMs, 20 * kMs),
                      thread == 1 && file == 1 ? IndexKind::kNone : IndexKind::kSealed);
    }
  }
  const auto arena = std::make_shared<const Arena>(*Arena::Create(0));
  const TestBlocks live = MakeBlocks(random_, 300, kTestStartNs + 3500 * kMs, 5 * kMs, 5 * kMs);
  builder.AddLive(0, kId + 3'500'000, live, live.size(), *arena, 1);
  Store store(builder.directories());
  store.SetArenas({arena, nullptr});
  const StoreSnapshot snapshot = store.Snapshot();

  const QueryPools pools = FramePools();
  QueryWriter writer(random_, pools);
  uint64_t found = 0;
  uint64_t some = 0;
  for (uint64_t i = 0; i < queries_ && !HasFailure(); ++i) {
    const size_t packets = Check(writer.Query(kTestStartNs, kEndNs), builder, snapshot, kEndNs).size();
    found += packets;
    some += packets != 0 && packets != builder.packets() ? 1 : 0;
  }
  // Most texts tell packets apart; otherwise nothing was tested.
  EXPECT_GT(some, queries_ / 2);
  EXPECT_GT(found, queries_ * builder.packets() / 20);
}

// The first packets of every capture of Ethernet, at one time per packet.
std::vector<TestPacket> ReadCaptures(const char* directory) {
  constexpr size_t kPerFile = 6;
  constexpr size_t kMostBytes = 16384;
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<TestPacket> packets;
  for (const auto& path : paths) {
    auto reader = OpenPcap(path.string());
    for (size_t i = 0; reader && i < kPerFile; ++i) {
      const auto next = (*reader)->Next();
      if (!next || *next == nullptr) break;
      const CapturedPacket& packet = **next;
      if (packet.link_type != 1 || packet.frame.size() > kMostBytes) continue;
      packets.push_back({kTestStartNs + static_cast<int64_t>(packets.size()) * kNsPerUs,
                         {packet.frame.begin(), packet.frame.end()},
                         {},
                         std::max(packet.original_bytes, static_cast<uint32_t>(packet.frame.size()))});
    }
  }
  return packets;
}

// Values of a sample of the packets, so that queries find something.
QueryPools PoolsOf(std::mt19937_64& random, const std::vector<TestPacket>& packets) {
  QueryPools pools = FramePools();
  for (int i = 0; i < 400; ++i) {
    PacketHeaders headers;
    Decode(packets[random() % packets.size()].frame, {}, headers);
    for (unsigned k = 0; k < headers.layer_count; ++k) {
      const Layer& layer = headers.layers[k];
      for (const Address& address : {layer.src, layer.dst})
        (address.family == 4 ? pools.v4 : pools.v6).push_back(ToString(address));
      if (layer.has_ports) pools.ports.push_back(layer.dst_port);
    }
  }
  return pools;
}

// Packets that tcpdump and we must see alike: one plain header after the other, all of it captured.
bool IsPlainForBoth(const TestPacket& packet, const PacketHeaders& headers) {
  if (packet.tag.present || headers.vlan_count != 0 || headers.mpls_count != 0 || headers.truncated_layers ||
      headers.layer_count != 1 || packet.original_bytes != packet.frame.size()) {
    return false;
  }
  const Layer& layer = headers.layers[0];
  switch (headers.ether_type) {
    case 0x0800:
      // tcpdump reads ports of headers that are too short for their own length, too.
      return (packet.frame[14] & 0x0f) >= 5 && (layer.has_ports || !wire::HasPorts(layer.protocol));
    case 0x86dd:
      return layer.protocol == packet.frame[20] && (layer.has_ports || !wire::HasPorts(layer.protocol));
    case 0x0806:
    case 0x8035:
      return packet.frame[18] == 6;
    default:
      return false;
  }
}

TEST_F(LanguageTest, CapturesEqualBruteForceAndLibpcap) {
  const char* const directory = std::getenv("STENO_TEST_PCAPS");
  if (directory == nullptr) GTEST_SKIP() << "set STENO_TEST_PCAPS to a directory of captures";
  const std::vector<TestPacket> packets = ReadCaptures(directory);
  ASSERT_FALSE(packets.empty());
  const QueryPools pools = PoolsOf(random_, packets);
  StoreBuilder builder(1);
  TestBlocks blocks;
  for (size_t i = 0; i < packets.size(); ++i) {
    if (i % 200 == 0) blocks.emplace_back();
    blocks.back().push_back(packets[i]);
  }
  builder.AddFile(0, kId, blocks);
  Store store(builder.directories());
  const StoreSnapshot snapshot = store.Snapshot();
  std::vector<const TestPacket*> plain;
  for (const TestPacket& packet : packets) {
    PacketHeaders headers;
    Decode(packet.frame, packet.tag, headers);
    if (IsPlainForBoth(packet, headers)) plain.push_back(&packet);
  }
  ASSERT_GT(plain.size(), packets.size() / 4);

  QueryWriter writer(random_, pools);
  for (uint64_t i = 0; i < queries_ / 8 && !HasFailure(); ++i) {
    const std::string text = writer.Tcpdump();
    const std::vector<TestPacket> found = Check(text, builder, snapshot, kEndNs);
    const PcapFilter theirs(text);
    ASSERT_EQ(theirs.error(), "") << text;
    for (const TestPacket* packet : plain) {
      const bool ours =
          std::ranges::binary_search(found, packet->time_ns, {}, [](const auto& p) { return p.time_ns; });
      ASSERT_EQ(ours, theirs.Matches(packet->frame, packet->original_bytes))
          << text << "\nframe " << ::testing::PrintToString(packet->frame);
    }
  }
}

}  // namespace
}  // namespace steno
