#include "index/segment.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/mapping.h"
#include "index/arena.h"
#include "index/test_segment.h"

namespace steno {
namespace {

using testing::TestSegment;

TEST(SegmentTest, CapsItsMemory) { EXPECT_LE(SegmentBytes(), 52u << 20); }

TEST(SegmentTest, AFreeSegmentHasNoSnapshot) {
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  EXPECT_EQ(SegmentSnapshot::Take(segment).error().code, ErrorCode::kNotFound);
  segment.Reset(5, 6, ".1700");
  const SegmentSnapshot snapshot = SegmentSnapshot::Take(segment).value();
  EXPECT_EQ(snapshot.file_id, 5u);
  EXPECT_EQ(snapshot.file_tag, 6u);
  EXPECT_EQ(snapshot.hidden_name, ".1700");
  EXPECT_TRUE(snapshot.blocks.empty());
  segment.header->generation.fetch_add(1);
  EXPECT_EQ(SegmentSnapshot::Take(segment).error().code, ErrorCode::kNotFound);
}

TEST(SegmentTest, AResetEndsSnapshotsAndLiveIndexes) {
  std::mt19937_64 random(1);
  TestSegment segment;
  for (int i = 0; i < 100; ++i) segment.Add(testing::MakeRandomFrame(random));
  segment.EndBlock();
  const SegmentSnapshot snapshot = segment.Snapshot();
  const auto index = MakeLiveIndex(segment.segment()).value();
  EXPECT_TRUE(snapshot.StillValid(segment.segment()));
  EXPECT_TRUE(index->Match({}));
  segment.Start(2);
  EXPECT_FALSE(snapshot.StillValid(segment.segment()));
  EXPECT_EQ(index->Match({}).error().code, ErrorCode::kStale);
  EXPECT_EQ(index->Granules(FlowSet(index->flow_count(), true)).error().code, ErrorCode::kStale);
}

TEST(SegmentTest, ResetRecoversFromAWriterThatDiedInIt) {
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  segment.Reset(1, 1, "a");
  const uint32_t before = segment.header->generation;
  segment.header->generation = before + 1;
  segment.Reset(2, 2, "b");
  EXPECT_EQ(segment.header->generation, before + 2);
}

TEST(SegmentTest, OnlyPublishedBlocksAreSeen) {
  std::mt19937_64 random(2);
  TestSegment segment;
  for (int i = 0; i < 50; ++i) segment.Add(testing::MakeRandomFrame(random));
  segment.EndBlock();
  const size_t flows = segment.Snapshot().flow_refs.size();
  for (int i = 0; i < 50; ++i) segment.Add(testing::MakeWideFrame(random));
  segment.EndBlock();
  EXPECT_GT(segment.Snapshot().flow_refs.size(), flows);
  segment.segment().header->published_blocks = 1;
  EXPECT_EQ(segment.Snapshot().flow_refs.size(), flows);
  EXPECT_EQ(segment.Snapshot().blocks.size(), 1u);
}

// The other process may write anything: counts, keys, ids and offsets.
TEST(SegmentTest, HostileContentIsHarmless) {
  std::mt19937_64 random(3);
  TestSegment good;
  for (int i = 0; i < 3000; ++i) good.Add(testing::MakeRandomFrame(random));
  good.EndBlock();
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  const SegmentSnapshot from = good.Snapshot();
  const auto scramble = [&](auto* values, size_t count) {
    auto* bytes = reinterpret_cast<uint8_t*>(values);
    for (int i = 0; i < 4; ++i) bytes[random() % (count * sizeof *values)] = static_cast<uint8_t>(random());
  };
  for (int round = 0; round < 60; ++round) {
    segment.Reset(1, 1, ".1");
    std::ranges::copy(from.flow_refs, segment.flow_refs);
    std::ranges::copy(from.key_heap, segment.key_heap);
    std::ranges::copy(from.pairs, segment.pairs);
    std::ranges::copy(from.granule_starts, segment.granule_starts);
    std::ranges::copy(from.granule_first_packet, segment.granule_first_packet);
    std::ranges::copy(from.blocks, segment.blocks);
    scramble(segment.flow_refs, from.flow_refs.size());
    scramble(segment.key_heap, from.key_heap.size());
    scramble(segment.pairs, from.pairs.size());
    scramble(segment.granule_starts, from.granule_starts.size());
    if (round % 4 == 0) scramble(segment.blocks, from.blocks.size());
    segment.header->published_blocks =
        round % 8 == 0 ? UINT32_MAX : static_cast<uint32_t>(from.blocks.size());
    const auto index = MakeLiveIndex(segment).value();
    const auto match = index->Match(testing::MakeRandomTerm(random));
    ASSERT_TRUE(match);
    const auto granules = index->Granules(match->may);
    ASSERT_TRUE(granules);
    for (const uint32_t granule : *granules) ASSERT_LT(granule, kSegmentMaxGranules);
  }
}

TEST(ArenaTest, IsSharedThroughItsDescriptor) {
  const Arena arena = Arena::Create(3).value();
  EXPECT_EQ(arena.header().thread, 3u);
  const Arena reader = Arena::Attach(arena.fd(), false).value();
  arena.counters().packets.fetch_add(5);
  EXPECT_EQ(reader.counters().packets.load(), 5u);
  arena.segment(1).Reset(9, 9, ".9");
  EXPECT_EQ(SegmentSnapshot::Take(reader.segment(1)).value().file_id, 9u);
  EXPECT_FALSE(SegmentSnapshot::Take(reader.segment(0)));
}

TEST(ArenaTest, RefusesWhatIsNotAnArena) {
  const Arena arena = Arena::Create(0).value();
  EXPECT_NE(::ftruncate(arena.fd(), 4096), 0) << "sealed against shrinking";
  arena.header().magic ^= 1;
  EXPECT_EQ(Arena::Attach(arena.fd(), true).error().code, ErrorCode::kCorrupt);
  arena.header().magic ^= 1;
  arena.header().version = kArenaVersion + 1;
  EXPECT_EQ(Arena::Attach(arena.fd(), true).error().code, ErrorCode::kCorrupt);

  const UniqueFd short_file(::memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(Arena::Attach(short_file.get(), true).error().code, ErrorCode::kCorrupt);
  const auto bytes = static_cast<off_t>(sizeof(ArenaHeader) + kArenaSegments * SegmentBytes());
  ASSERT_EQ(::ftruncate(short_file.get(), bytes), 0);
  const auto unsealed = Arena::Attach(short_file.get(), true);
  EXPECT_NE(unsealed.error().message.find("sealed"), std::string::npos);
  EXPECT_EQ(Arena::Attach(-1, true).error().code, ErrorCode::kIo);
}

TEST(FlowSetTest, BehavesAsASet) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 200; ++round) {
    const auto size = static_cast<uint32_t>(random() % 300);
    std::vector<bool> left(size);
    std::vector<bool> right(size);
    FlowSet a(size);
    FlowSet b(size);
    const auto first = static_cast<uint32_t>(random() % (size + 1));
    const auto end = static_cast<uint32_t>(first + random() % (size - first + 1));
    a.AddRange(first, end);
    for (uint32_t i = first; i < end; ++i) left[i] = true;
    for (uint32_t i = 0; i < size / 2; ++i) {
      const auto flow = static_cast<uint32_t>(random() % size);
      b.Add(flow);
      right[flow] = true;
    }
    FlowSet both = a;
    both.And(b);
    FlowSet any = a;
    any.Or(b);
    FlowSet none = any;
    none.Invert();
    uint32_t count = 0;
    for (uint32_t i = 0; i < size; ++i) {
      EXPECT_EQ(both.Has(i), left[i] && right[i]);
      EXPECT_EQ(any.Has(i), left[i] || right[i]);
      EXPECT_EQ(none.Has(i), !any.Has(i));
      count += any.Has(i) ? 1 : 0;
    }
    EXPECT_EQ(any.Count(), count);
    EXPECT_EQ(none.Count(), size - count);
    EXPECT_EQ(any.Empty(), count == 0);
    EXPECT_EQ(FlowSet(size, true).Count(), size);
  }
}

}  // namespace
}  // namespace steno
