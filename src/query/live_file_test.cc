#include "query/live_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "base/clock.h"
#include "query/store_builder_test.h"

namespace steno {
namespace {

using namespace steno::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kMs = kNsPerMs;
constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);

class LiveFileTest : public ::testing::Test {
 protected:
  LiveFileTest() { store_.SetArenas({arena_}); }

  TestBlocks Blocks(int64_t first_ms) {
    return MakeBlocks(random_, 3000, kTestStartNs + first_ms * kMs, kMs, 3 * kMs);
  }
  void Publish(unsigned segment, size_t blocks) {
    arena_->segment(segment).header->published_blocks.store(static_cast<uint32_t>(blocks));
  }
  std::string Check(const StoreSnapshot& snapshot, const ExpressionPtr& expression) const {
    const Answer answer = Ask(*expression, snapshot);
    EXPECT_TRUE(answer.status);
    EXPECT_THAT(answer.stats.problems, IsEmpty());
    EXPECT_EQ(answer.stats.files_gone, 0u);
    return Difference(answer.packets, builder_.Expected(*expression));
  }

  std::mt19937_64 random_{11};
  StoreBuilder builder_{1};
  std::shared_ptr<const Arena> arena_ = std::make_shared<const Arena>(*Arena::Create(0));
  Store store_{builder_.directories()};
};

TEST_F(LiveFileTest, ShowsPublishedBlocksOnly) {
  const TestBlocks blocks = Blocks(0);
  builder_.AddLive(0, kId, blocks, 2, *arena_, 0);
  const StoreSnapshot before = store_.Snapshot();
  ASSERT_THAT(before, SizeIs(1));
  EXPECT_EQ(Check(before, MakeEverything()), "");
  // More is published: the old snapshot stays what it was.
  Publish(0, blocks.size());
  EXPECT_EQ(Check(before, MakeEverything()), "");
  EXPECT_GT(Ask(*MakeEverything(), store_.Snapshot()).packets.size(),
            Ask(*MakeEverything(), before).packets.size());
}

TEST_F(LiveFileTest, NothingPublishedIsNoFile) {
  EXPECT_THAT(store_.Snapshot(), IsEmpty());
  builder_.AddLive(0, kId, Blocks(0), 0, *arena_, 0);
  EXPECT_THAT(store_.Snapshot(), IsEmpty());
}

TEST_F(LiveFileTest, CountsOnceWhenPublished) {
  const TestBlocks blocks = Blocks(0);
  builder_.AddLive(0, kId, blocks, blocks.size(), *arena_, 0);
  const StoreSnapshot live = store_.Snapshot();
  EXPECT_EQ(Check(live, MakeEverything()), "");
  builder_.SealLive(0, kId, std::to_string(kId), *arena_, 0);
  const StoreSnapshot sealed = store_.Snapshot();
  EXPECT_THAT(sealed, SizeIs(1));
  EXPECT_EQ(sealed[0]->path(), builder_.PacketPath(0, kId));
  EXPECT_EQ(Check(sealed, MakeEverything()), "");
  // Renamed under the snapshot, the segment still its own.
  EXPECT_EQ(Check(live, MakeEverything()), "");
  // Published without its index: the complete live one knows better.
  std::filesystem::remove(builder_.IndexPath(0, kId));
  Store fresh(builder_.directories());
  fresh.SetArenas({arena_});
  const StoreSnapshot unindexed = fresh.Snapshot();
  EXPECT_THAT(unindexed, SizeIs(1));
  EXPECT_EQ(Ask(*MakeEverything(), unindexed).stats.files_scanned, 0u);
  EXPECT_EQ(Check(unindexed, MakeEverything()), "");
}

// Between the sealing of its file and its next use a segment is free: the file has its final name.
TEST_F(LiveFileTest, FreedSegmentMeansSealedFile) {
  const TestBlocks blocks = Blocks(0);
  builder_.AddLive(0, kId, blocks, blocks.size(), *arena_, 0);
  const StoreSnapshot snapshot = store_.Snapshot();
  builder_.SealLive(0, kId, std::to_string(kId), *arena_, 0);
  arena_->segment(0).header->state.store(static_cast<uint32_t>(SegmentState::kFree));
  EXPECT_EQ(Check(snapshot, MakeEverything()), "");
  EXPECT_EQ(Ask(*MakeEverything(), snapshot).stats.files_scanned, 0u);
}

// Or, if it could not be published, still the hidden one, which is read whole, to its last block.
TEST_F(LiveFileTest, FreedSegmentOfAFileThatStayedHidden) {
  const TestBlocks blocks = Blocks(0);
  builder_.AddLive(0, kId, blocks, blocks.size(), *arena_, 0);
  const StoreSnapshot snapshot = store_.Snapshot();
  arena_->segment(0).header->state.store(static_cast<uint32_t>(SegmentState::kFree));
  EXPECT_EQ(Check(snapshot, MakeEverything()), "");
  EXPECT_EQ(Ask(*MakeEverything(), snapshot).stats.files_scanned, 1u);
}

TEST_F(LiveFileTest, ReusedSegmentMeansSealedFile) {
  for (const char* shift : {"0", "1", "9", "100"}) {
    StoreBuilder builder(1);
    Store store(builder.directories());
    store.SetArenas({arena_});
    const TestBlocks blocks = Blocks(0);
    builder.AddLive(0, kId, blocks, blocks.size(), *arena_, 0);
    const StoreSnapshot snapshot = store.Snapshot();
    const std::vector<TestPacket> expected = builder.Expected(*MakeEverything());
    const uint64_t final_id = kId + std::stoull(shift);
    // Under the names before its own there are other files.
    for (uint64_t other = kId; other < final_id; ++other) builder.AddFile(0, other, {Blocks(1).front()});
    builder.SealLive(0, kId, std::to_string(final_id), *arena_, 0);
    builder.AddLive(0, kId + 5'000'000, Blocks(5000), 1, *arena_, 0);
    const Answer answer = Ask(*MakeEverything(), snapshot);
    EXPECT_EQ(Difference(answer.packets, expected), "") << "published " << shift << " µs later";
    EXPECT_EQ(answer.stats.files_scanned, 0u);
    EXPECT_THAT(answer.stats.problems, IsEmpty());
  }
}

TEST_F(LiveFileTest, DeletedFileIsGone) {
  builder_.AddLive(0, kId, Blocks(0), 2, *arena_, 0);
  const StoreSnapshot snapshot = store_.Snapshot();
  std::filesystem::remove(builder_.directories()[0].packets_directory + "/" + builder_.HiddenName(kId));
  const Answer answer = Ask(*MakeEverything(), snapshot);
  EXPECT_EQ(answer.stats.files_gone, 1u);
  EXPECT_THAT(answer.stats.problems, IsEmpty());
  EXPECT_THAT(answer.packets, IsEmpty());
}

TEST_F(LiveFileTest, ActiveTwinOfACrashYieldsToThePublishedFile) {
  const TestBlocks blocks = Blocks(0);
  builder_.AddLive(0, kId, blocks, 1, *arena_, 0);
  builder_.RecoverLive(0, kId, blocks);
  const StoreSnapshot snapshot = store_.Snapshot();
  EXPECT_THAT(snapshot, SizeIs(1));
  EXPECT_EQ(Check(snapshot, MakeEverything()), "");
}

TEST_F(LiveFileTest, HiddenNameCannotLeaveTheDirectory) {
  for (const char* name : {"../../../etc/passwd", "", "/etc/passwd", ".1/../x", "12345"}) {
    builder_.AddLive(0, kId, Blocks(0), 1, *arena_, 0);
    SegmentHeader& header = *arena_->segment(0).header;
    std::memset(header.hidden_name, 0, sizeof header.hidden_name);
    std::memcpy(header.hidden_name, name, std::strlen(name));
    std::vector<std::string> problems;
    EXPECT_THAT(store_.Snapshot(&problems), IsEmpty()) << name;
    EXPECT_THAT(problems, ElementsAre(HasSubstr("not the name of a hidden packet file")));
    std::filesystem::remove(builder_.directories()[0].packets_directory + "/" + builder_.HiddenName(kId));
  }
}

// What a stenotype that was taken over could write: any bytes at any time.
TEST_F(LiveFileTest, HostileArenaIsSurvived) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  builder_.AddLive(0, kId, Blocks(0), 3, *arena_, 0);
  const SegmentMemory& memory = arena_->segment(0);
  for (int round = 0; round < 20; ++round) {
    const StoreSnapshot snapshot = store_.Snapshot();
    for (int i = 0; i < 20; ++i) {
      const auto bytes =
          reinterpret_cast<uint8_t*>(random() % 2 == 0 ? static_cast<void*>(memory.blocks)
                                                       : static_cast<void*>(memory.granule_first_packet));
      bytes[random() % (3 * sizeof(LiveBlock))] = static_cast<uint8_t>(random());
      memory.key_heap[random() % 4096] = static_cast<uint8_t>(random());
    }
    Publish(0, random() % 6);
    const ExpressionPtr expression = MakeRandomExpression(random, kTestStartNs, kTestStartNs + 3000 * kMs);
    EXPECT_TRUE(Ask(*expression, snapshot).status);
    EXPECT_TRUE(Ask(*expression, store_.Snapshot()).status);
  }
}

}  // namespace
}  // namespace steno
