#include "index/builder.h"

#include <set>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "index/test_segment.h"

namespace steno {
namespace {

using testing::BlockBuilder;
using testing::PacketBuilder;
using testing::TestSegment;

// A minimal IPv4 TCP frame between two numbered hosts.
std::vector<uint8_t> NumberedFrame(uint32_t number) {
  static const std::vector<uint8_t> pattern =
      PacketBuilder().Ethernet().Ipv4("10.0.0.0", "1.1.1.1").Tcp(1000, 80).Build();
  std::vector<uint8_t> frame = pattern;
  StoreBe(frame.data() + 26, 0x0a000000 + number);
  return frame;
}

TEST(IndexBuilderTest, SummarisesRealTimesWithoutASegment) {
  IndexBuilder builder = IndexBuilder::Create().value();
  builder.Begin(nullptr);
  BlockBuilder block;
  const std::vector<uint8_t> frame = NumberedFrame(1);
  for (const int64_t time : {500, 100, 900}) ASSERT_TRUE(block.Add(frame, testing::kTestStartNs + time));
  const BlockSummary summary = builder.AddBlock(block.Block(), 0, 0);
  EXPECT_EQ(summary.first_ns, testing::kTestStartNs + 100);
  EXPECT_EQ(summary.last_ns, testing::kTestStartNs + 900);
  EXPECT_EQ(summary.packets, 3u);
  EXPECT_EQ(summary.captured_bytes, 3 * frame.size());
  builder.Publish(1);
  EXPECT_FALSE(builder.full());
}

TEST(IndexBuilderTest, BothDirectionsAreOneFlow) {
  TestSegment segment;
  segment.Add({PacketBuilder().Ethernet().Ipv4("1.1.1.1", "2.2.2.2").Tcp(5, 80).Build(), {}});
  segment.Add({PacketBuilder().Ethernet().Ipv4("2.2.2.2", "1.1.1.1").Tcp(80, 5).Build(), {}});
  segment.Add({PacketBuilder().Ethernet().Ipv4("2.2.2.2", "1.1.1.1").Tcp(80, 6).Build(), {}});
  segment.EndBlock();
  EXPECT_EQ(segment.builder().flow_count(), 2u);
  EXPECT_EQ(segment.Snapshot().pairs.size(), 2u);
}

// Every flow of a granule has a pair with it, and one only, however its packets are mixed with others'.
TEST(IndexBuilderTest, PairsAreThoseOfAPlainCount) {
  std::mt19937_64 random(16);
  std::vector<testing::RandomFrame> flows;
  for (int i = 0; i < 600; ++i) flows.push_back(testing::MakeRandomFrame(random));
  for (uint32_t i = 0; i < 600; ++i) flows.push_back({NumberedFrame(i), {}});
  for (uint64_t file = 2; file < 5; ++file) {
    TestSegment segment;
    segment.Start(file);
    std::vector<size_t> sent;
    for (int i = 0; i < 30'000; ++i) {
      // Bursts of one flow, and now and then many at once.
      const bool burst = !sent.empty() && random() % 4 != 0;
      sent.push_back(burst ? sent[sent.size() - 1 - random() % std::min<size_t>(sent.size(), 3)]
                           : random() % flows.size());
      segment.Add(flows[sent.back()]);
    }
    segment.EndBlock();
    const SegmentSnapshot snapshot = segment.Snapshot();
    std::set<std::pair<uint64_t, std::vector<uint8_t>>> expected;
    for (const testing::AddedPacket& packet : segment.packets()) {
      FlowKey key;
      MakeFlowKey(packet.headers, key);
      expected.emplace(packet.file_offset / kGranuleBytes,
                       std::vector<uint8_t>(key.view().begin(), key.view().end()));
    }
    std::set<std::pair<uint64_t, std::vector<uint8_t>>> found;
    for (size_t granule = 0; granule < snapshot.granule_starts.size(); ++granule) {
      const bool last = granule + 1 == snapshot.granule_starts.size();
      const size_t end = last ? snapshot.pairs.size() : snapshot.granule_starts[granule + 1];
      for (size_t pair = snapshot.granule_starts[granule]; pair < end; ++pair) {
        FlowKey key;
        ASSERT_TRUE(snapshot.CopyKey(snapshot.pairs[pair], key));
        found.emplace(granule, std::vector<uint8_t>(key.view().begin(), key.view().end()));
      }
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(found.size(), snapshot.pairs.size());
  }
}

TEST(IndexBuilderTest, ANewFileForgetsTheFlowsOfTheOld) {
  TestSegment segment;
  for (uint64_t file = 2; file < 5; ++file) {
    segment.Start(file);
    for (uint32_t i = 0; i < 100; ++i) segment.Add({NumberedFrame(i), {}});
    segment.EndBlock();
    EXPECT_EQ(segment.builder().flow_count(), 100u);
    EXPECT_EQ(segment.Snapshot().file_id, file);
  }
}

TEST(IndexBuilderTest, AFloodFillsTheSegmentAndMarksTheRest) {
  TestSegment segment;
  BlockBuilder block;
  uint64_t offset = 0;
  uint32_t number = 0;
  uint32_t blocks = 0;
  std::vector<uint32_t> packets;
  while (number < kSegmentMaxFlows + 20000) {
    while (block.Add(NumberedFrame(number), testing::kTestStartNs + number)) ++number;
    packets.push_back(block.packets());
    const auto bytes = block.Block();
    segment.builder().AddBlock(bytes, offset, 0);
    offset += AlignUp(bytes.size(), kDiskAlignment);
    segment.builder().Publish(++blocks);
    block.Clear();
  }
  EXPECT_TRUE(segment.builder().full());
  const SegmentSnapshot snapshot = segment.Snapshot();
  EXPECT_GT(snapshot.flow_refs.size(), kSegmentMaxFlows * 9 / 10) << "the probe limit must not come early";
  EXPECT_LE(snapshot.flow_refs.size(), kSegmentMaxFlows);
  uint64_t before = 0;
  for (size_t i = 0; i < snapshot.blocks.size(); ++i) {
    const bool holds_all = before + packets[i] <= snapshot.flow_refs.size();
    EXPECT_EQ(snapshot.blocks[i].entry.flags, holds_all ? 0u : kBlockUnindexed) << "block " << i;
    EXPECT_EQ(snapshot.blocks[i].entry.packet_count, packets[i]);
    before += packets[i];
  }
  // Blocks that are not indexed still have their places, so that granules of them can be read.
  EXPECT_EQ(snapshot.granule_first_packet.size(),
            offset / kGranuleBytes + (offset % kGranuleBytes != 0 ? 1 : 0));
}

TEST(IndexBuilderTest, AFileBeyondItsGranulesIsUnindexed) {
  TestSegment segment;
  BlockBuilder block;
  ASSERT_TRUE(block.Add(NumberedFrame(1), testing::kTestStartNs));
  segment.builder().AddBlock(block.Block(), kMaxFileBytes - 4096, 0);
  EXPECT_FALSE(segment.builder().full());
  segment.builder().AddBlock(block.Block(), kMaxFileBytes, 0);
  EXPECT_TRUE(segment.builder().full());
  segment.builder().Publish(2);
  EXPECT_EQ(segment.Snapshot().blocks[0].entry.flags, 0u);
  EXPECT_EQ(segment.Snapshot().blocks[1].entry.flags, kBlockUnindexed);
}

TEST(IndexBuilderTest, MoreBlocksThanFitAreOnlySummarised) {
  TestSegment segment;
  BlockBuilder block;
  ASSERT_TRUE(block.Add(NumberedFrame(1), testing::kTestStartNs));
  for (uint32_t i = 0; i < kSegmentMaxBlocks; ++i) {
    ASSERT_FALSE(segment.builder().full());
    segment.builder().AddBlock(block.Block(), uint64_t{i} * 4096, 0);
  }
  EXPECT_TRUE(segment.builder().full());
  EXPECT_EQ(segment.builder().AddBlock(block.Block(), uint64_t{kSegmentMaxBlocks} * 4096, 0).packets, 1u);
  segment.builder().Publish(UINT32_MAX);
  EXPECT_EQ(segment.Snapshot().blocks.size(), kSegmentMaxBlocks);
}

TEST(IndexBuilderTest, DamagedBlocksAreSafe) {
  std::mt19937_64 random(1);
  TestSegment segment;
  BlockBuilder block(64 * 1024);
  for (int round = 0; round < 300; ++round) {
    block.Clear();
    while (block.Add(testing::MakeRandomFrame(random).bytes, testing::kTestStartNs)) {
    }
    std::vector<uint8_t> bytes(block.Block().begin(), block.Block().end());
    for (int i = 0; i < 20; ++i)
      bytes[random() % (round % 2 == 0 ? 600 : bytes.size())] = static_cast<uint8_t>(random());
    bytes.resize(random() % (bytes.size() + 1));
    const BlockSummary summary = segment.builder().AddBlock(bytes, uint64_t(round) << 16, 0);
    EXPECT_LE(summary.packets, block.packets());
  }
}

// One thread builds, others query: they see whole blocks, and everything in them.
TEST(IndexBuilderTest, ReadersSeeAConsistentPrefixWhileItGrows) {
  TestSegment segment;
  std::atomic<bool> done = false;
  constexpr uint32_t kPerBlock = 64;
  constexpr uint32_t kBlocks = 300;
  const auto read = [&] {
    Term any_tcp;
    any_tcp.kind = TermKind::kProtocol;
    any_tcp.first = any_tcp.last = 6;
    bool last_round = false;
    size_t seen = 0;
    while (!last_round) {
      last_round = done;
      const auto index = MakeLiveIndex(segment.segment()).value();
      ASSERT_GE(index->blocks().size(), seen);
      seen = index->blocks().size();
      ASSERT_EQ(index->flow_count(), seen * kPerBlock);
      const FlowMatch match = index->Match(any_tcp).value();
      ASSERT_EQ(match.must.Count(), index->flow_count());
      const auto granules = index->Granules(match.must).value();
      ASSERT_EQ(granules.empty(), seen == 0);
      for (const uint32_t granule : granules) ASSERT_NE(index->FirstPacket(granule), kNoPacketInGranule);
    }
    EXPECT_EQ(seen, kBlocks);
  };
  std::thread first(read);
  std::thread second(read);
  BlockBuilder block;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < kBlocks; ++i) {
    block.Clear();
    for (uint32_t k = 0; k < kPerBlock; ++k)
      ASSERT_TRUE(block.Add(NumberedFrame(i * kPerBlock + k), testing::kTestStartNs));
    segment.builder().AddBlock(block.Block(), offset, 0);
    offset += AlignUp(block.Block().size(), kDiskAlignment);
    segment.builder().Publish(i + 1);
  }
  done = true;
  first.join();
  second.join();
}

}  // namespace
}  // namespace steno
