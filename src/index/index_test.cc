// Live, raw and sealed index against the packets that went in: property tests over random traffic and random
// terms.
#include <algorithm>
#include <cstring>

#include "index/flow_order.h"
#include "index/raw_index.h"
#include "index/test_segment.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::AddedPacket;
using testing::TempDir;
using testing::TestSegment;

// The forms of the index of one segment, and which flow of one is which of the other. Live and raw number
// them alike.
struct AllIndexes {
  std::unique_ptr<FlowIndex> live;
  std::unique_ptr<FlowIndex> raw;
  std::unique_ptr<FlowIndex> sealed;
  std::vector<uint32_t> live_id;  // by sealed flow

  static AllIndexes Of(const TestSegment& segment, const TempDir& dir) {
    const SegmentSnapshot snapshot = segment.Snapshot();
    AllIndexes all;
    all.live = MakeLiveIndex(segment.segment()).value();
    const Status sealed = SealSegment(snapshot, dir.path(), "1");
    EXPECT_TRUE(sealed) << sealed.error().message;
    all.sealed = OpenSealedIndex(dir.path() + "/1").value();
    const Status raw = WriteRawIndex(snapshot, dir.path(), "2");
    EXPECT_TRUE(raw) << raw.error().message;
    all.raw = OpenSealedIndex(dir.path() + "/2").value();
    const Mapping memory = Mapping::Anonymous(kSealScratchBytes).value();
    Scratch scratch(memory.bytes());
    const FlowOrder order = SortFlows(snapshot, scratch).value();
    all.live_id.assign(order.ids.begin(), order.ids.end());
    return all;
  }
};

FlowMatch Expected(const SegmentSnapshot& snapshot, const Term& term) {
  const auto flows = static_cast<uint32_t>(snapshot.flow_refs.size());
  FlowMatch match{FlowSet(flows), FlowSet(flows)};
  FlowKey key;
  PacketHeaders headers;
  for (uint32_t flow = 0; flow < flows; ++flow) {
    EXPECT_TRUE(snapshot.CopyKey(flow, key));
    EXPECT_TRUE(ParseFlowKey(key.kind, key.view(), headers));
    const Tri answer = MatchesFlow(term, headers);
    if (answer != Tri::kNo) match.may.Add(flow);
    if (answer == Tri::kYes) match.must.Add(flow);
  }
  return match;
}

std::vector<uint32_t> Members(const FlowSet& set) {
  std::vector<uint32_t> members;
  set.ForEach([&](uint32_t flow) { members.push_back(flow); });
  return members;
}

// The members of a sealed index's set, as the live index numbers them.
std::vector<uint32_t> LiveMembers(const FlowSet& set, const std::vector<uint32_t>& live_id) {
  std::vector<uint32_t> members;
  set.ForEach([&](uint32_t flow) { members.push_back(live_id[flow]); });
  std::ranges::sort(members);
  return members;
}

void CheckTerm(const TestSegment& segment, const AllIndexes& all, const Term& term) {
  const FlowMatch expected = Expected(segment.Snapshot(), term);
  const auto live = all.live->Match(term);
  const auto sealed = all.sealed->Match(term);
  ASSERT_TRUE(live) << live.error().message;
  ASSERT_TRUE(sealed) << sealed.error().message;
  EXPECT_EQ(Members(live->may), Members(expected.may));
  EXPECT_EQ(Members(live->must), Members(expected.must));
  const auto raw = all.raw->Match(term);
  ASSERT_TRUE(raw) << raw.error().message;
  EXPECT_EQ(Members(raw->may), Members(expected.may));
  EXPECT_EQ(Members(raw->must), Members(expected.must));
  EXPECT_EQ(LiveMembers(sealed->may, all.live_id), Members(expected.may));
  EXPECT_EQ(LiveMembers(sealed->must, all.live_id), Members(expected.must));

  const auto granules = all.sealed->Granules(sealed->may);
  ASSERT_TRUE(granules) << granules.error().message;
  EXPECT_EQ(*granules, all.live->Granules(live->may).value());
  EXPECT_EQ(*granules, all.raw->Granules(raw->may).value());
  EXPECT_TRUE(std::ranges::is_sorted(*granules, std::less_equal<>{}));
  // What the whole index is for: no packet that matches is missed.
  for (const AddedPacket& packet : segment.packets()) {
    if (!Matches(term, packet.headers)) continue;
    const auto granule = static_cast<uint32_t>(packet.file_offset / kGranuleBytes);
    ASSERT_TRUE(std::ranges::binary_search(*granules, granule)) << "packet at " << packet.file_offset;
  }
}

FlowSet Among(FlowSet set, const FlowSet& candidates) {
  set.And(candidates);
  return set;
}

// Among some flows every form of the index says of them what it says when asked about all.
void CheckCandidates(const FlowIndex& index, const Term& term, std::mt19937_64& random) {
  const FlowMatch all = index.Match(term).value();
  const uint32_t flows = index.flow_count();
  FlowSet candidates(flows);
  // A few, or parts of the numbers, so that some blocks of a column have none.
  for (uint64_t left = random() % 8; flows > 0 && left > 0; --left) {
    const auto first = static_cast<uint32_t>(random() % flows);
    const auto length = static_cast<uint32_t>(random() % 2 == 0 ? 1 : 1 + random() % 300);
    candidates.AddRange(first, std::min(flows, first + length));
  }
  const auto some = index.MatchAmong(term, &candidates);
  ASSERT_TRUE(some) << some.error().message;
  EXPECT_EQ(Members(Among(some->may, candidates)), Members(Among(all.may, candidates)));
  EXPECT_EQ(Members(Among(some->must, candidates)), Members(Among(all.must, candidates)));
}

void CheckGranuleStarts(const TestSegment& segment, const FlowIndex& index) {
  std::vector<uint16_t> first(segment.file_bytes().size() / kGranuleBytes + 1, kNoPacketInGranule);
  for (const AddedPacket& packet : segment.packets()) {
    uint16_t& at = first[packet.file_offset / kGranuleBytes];
    at = std::min(at, static_cast<uint16_t>(packet.file_offset % kGranuleBytes));
  }
  for (uint32_t granule = 0; granule < first.size(); ++granule) {
    EXPECT_EQ(index.FirstPacket(granule), first[granule]) << "granule " << granule;
  }
  EXPECT_EQ(index.FirstPacket(UINT32_MAX), kNoPacketInGranule);
}

void CheckBlocks(const FlowIndex& live, const FlowIndex& sealed) {
  ASSERT_EQ(live.blocks().size(), sealed.blocks().size());
  for (size_t i = 0; i < live.blocks().size(); ++i) {
    EXPECT_EQ(std::memcmp(&live.blocks()[i], &sealed.blocks()[i], sizeof(BlockEntry)), 0) << "block " << i;
  }
}

using MakeFrame = testing::RandomFrame (*)(std::mt19937_64&);

void CheckTraffic(MakeFrame make_frame, size_t packets, size_t terms, uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  TestSegment segment;
  for (size_t i = 0; i < packets; ++i) {
    segment.Add(make_frame(random));
    if (random() % 2000 == 0) segment.EndBlock(static_cast<uint32_t>(random() % 5));
  }
  segment.EndBlock();
  ASSERT_EQ(segment.packets().size(), packets);
  ASSERT_FALSE(segment.builder().full());
  const TempDir dir;
  const AllIndexes all = AllIndexes::Of(segment, dir);
  CheckBlocks(*all.live, *all.sealed);
  CheckGranuleStarts(segment, *all.live);
  CheckGranuleStarts(segment, *all.sealed);
  for (size_t i = 0; i < terms && !::testing::Test::HasFailure(); ++i) {
    const Term term = testing::MakeRandomTerm(random);
    SCOPED_TRACE(ToString(term));
    CheckTerm(segment, all, term);
    for (const FlowIndex* index : {all.live.get(), all.raw.get(), all.sealed.get()})
      CheckCandidates(*index, term, random);
  }
}

TEST(IndexTest, EveryKindOfFrameIsFound) { CheckTraffic(testing::MakeRandomFrame, 6000, 300, 1); }
TEST(IndexTest, BrokenFramesAreFound) { CheckTraffic(testing::MakeBrokenFrame, 6000, 300, 2); }
TEST(IndexTest, ManyAddressesAreFound) { CheckTraffic(testing::MakeWideFrame, 30000, 200, 3); }
TEST(IndexTest, SmallTrafficIsFound) {
  for (uint64_t seed = 10; seed < 30; ++seed) CheckTraffic(testing::MakeRandomFrame, seed - 9, 100, seed);
}

TEST(IndexTest, NothingPublishedIsAnEmptyIndex) {
  TestSegment segment;
  const TempDir dir;
  const AllIndexes all = AllIndexes::Of(segment, dir);
  for (const FlowIndex* index : {all.live.get(), all.sealed.get()}) {
    EXPECT_EQ(index->flow_count(), 0u);
    EXPECT_TRUE(index->blocks().empty());
    EXPECT_TRUE(index->Match({}).value().may.Empty());
    EXPECT_TRUE(index->Granules(FlowSet(0)).value().empty());
  }
}

TEST(IndexTest, SummaryComesFromTheFooter) {
  std::mt19937_64 random(4);
  TestSegment segment;
  for (int i = 0; i < 5000; ++i) segment.Add(testing::MakeRandomFrame(random));
  segment.EndBlock();
  const TempDir dir;
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "77"));
  const IndexSummary summary = ReadIndexSummary(dir.path() + "/77").value();
  EXPECT_EQ(summary.file_id, 1u);
  EXPECT_EQ(summary.file_tag, 7u);
  EXPECT_EQ(summary.first_ns, testing::kTestStartNs + 1000);
  EXPECT_EQ(summary.last_ns, testing::kTestStartNs + 5'000'000);
  EXPECT_EQ(summary.packets, 5000u);
  EXPECT_EQ(summary.packet_file_bytes, segment.file_bytes().size());
  EXPECT_EQ(summary.flows, segment.builder().flow_count());
}

}  // namespace
}  // namespace steno
