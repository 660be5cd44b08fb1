#include "query/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "base/clock.h"
#include "index/sealer.h"
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

class StoreTest : public ::testing::Test {
 protected:
  TestBlocks Blocks(int64_t first_ms, size_t packets = 200) {
    return MakeBlocks(random_, packets, kTestStartNs + first_ms * kMs, kMs, 0);
  }

  StoreSnapshot Take() {
    problems_.clear();
    return store_.Snapshot(&problems_);
  }

  std::string CheckEverything(const StoreSnapshot& snapshot) const {
    const Answer answer = Ask(*MakeEverything(), snapshot);
    EXPECT_TRUE(answer.status);
    EXPECT_THAT(answer.stats.problems, IsEmpty());
    return Difference(answer.packets, builder_.Expected(*MakeEverything()));
  }

  std::mt19937_64 random_{7};
  StoreBuilder builder_{3};
  Store store_{builder_.directories()};
  std::vector<std::string> problems_;
};

TEST_F(StoreTest, ThreadsThatShareADirectoryAreReadOnce) {
  const StoreDirectory shared = builder_.directories()[0];
  Store store({shared, builder_.directories()[1], shared});
  builder_.AddFile(0, kId, Blocks(0));
  builder_.AddFile(1, kId + 1000, Blocks(1));
  const StoreSnapshot snapshot = store.Snapshot(&problems_);
  EXPECT_THAT(snapshot, SizeIs(2));
  EXPECT_EQ(CheckEverything(snapshot), "");
  EXPECT_EQ(store.totals().files, 2u);
  // What the third thread writes is found, too.
  auto arena = Arena::Create(2);
  ASSERT_TRUE(arena) << arena.error().message;
  const TestBlocks blocks = Blocks(5);
  builder_.AddLive(0, kId + 5000, blocks, blocks.size(), *arena, 0);
  store.SetArenas({nullptr, nullptr, std::make_shared<const Arena>(std::move(*arena))});
  EXPECT_EQ(CheckEverything(store.Snapshot(&problems_)), "");
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(StoreTest, FilesComeAndGo) {
  EXPECT_THAT(Take(), IsEmpty());
  builder_.AddFile(0, kId, Blocks(0));
  EXPECT_EQ(CheckEverything(Take()), "");
  builder_.AddFile(1, kId + 1000, Blocks(1));
  builder_.AddFile(0, kId + 2000, Blocks(2));
  EXPECT_EQ(CheckEverything(Take()), "");
  std::filesystem::remove(builder_.PacketPath(0, kId));
  builder_.Forget(0, kId);
  const StoreSnapshot snapshot = Take();
  EXPECT_THAT(snapshot, SizeIs(2));
  EXPECT_EQ(CheckEverything(snapshot), "");
  EXPECT_THAT(problems_, IsEmpty());
}

// Directory times tick in milliseconds: what appears in the tick of the last look must not be missed.
TEST_F(StoreTest, RapidChangesAreSeen) {
  for (uint64_t i = 0; i < 300; ++i) {
    WriteBytes(builder_.PacketPath(0, kId + i), {});
    ASSERT_THAT(Take(), SizeIs(i + 1));
  }
}

TEST_F(StoreTest, SnapshotsShareFiles) {
  builder_.AddFile(0, kId, Blocks(0));
  const StoreSnapshot first = Take();
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  builder_.AddFile(0, kId + 1000, Blocks(1));
  const StoreSnapshot second = Take();
  ASSERT_THAT(second, SizeIs(2));
  EXPECT_EQ(first[0], second[0]);
  EXPECT_EQ(Take()[1], second[1]);
}

TEST_F(StoreTest, OtherNamesAreIgnored) {
  builder_.AddFile(0, kId, Blocks(0));
  const std::string directory = builder_.directories()[0].packets_directory;
  for (const char* name : {".123", "notes.txt", "12a", "-5"}) WriteBytes(directory + "/" + name, {});
  std::filesystem::create_directory(directory + "/lost+found");
  EXPECT_THAT(Take(), SizeIs(1));
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(StoreTest, TimesAreThoseOfIndexOrBlocks) {
  const TestBlocks blocks = Blocks(5, 100);
  builder_.AddFile(0, kId, blocks);
  builder_.AddFile(1, kId, blocks);
  std::filesystem::remove(builder_.IndexPath(1, kId));
  builder_.AddFile(2, kId, blocks, IndexKind::kNone);
  const StoreSnapshot files = Take();
  ASSERT_THAT(files, SizeIs(3));
  for (const auto& file : files) {
    const int64_t wider = file->thread() == 2 ? kEnclosingSlackNs : 0;
    EXPECT_EQ(file->first_ns(), kTestStartNs + 5 * kMs - wider);
    EXPECT_EQ(file->last_ns(), kTestStartNs + 104 * kMs + wider);
    EXPECT_EQ(file->file_id(), kId);
  }
}

TEST_F(StoreTest, IndexThatAppearsIsTakenUp) {
  builder_.AddFile(0, kId, Blocks(0), IndexKind::kNone);
  builder_.AddFile(0, kId + 1000, Blocks(0), IndexKind::kNone);
  EXPECT_EQ(CheckEverything(Take()), "");
  EXPECT_EQ(store_.totals().unindexed_files, 2u);
  ASSERT_TRUE(RebuildIndex(builder_.PacketPath(0, kId), builder_.directories()[0].index_directory,
                           std::to_string(kId)));
  const StoreSnapshot snapshot = Take();
  EXPECT_EQ(store_.totals().unindexed_files, 1u);
  const Answer answer = Ask(*MakeEverything(), snapshot);
  EXPECT_EQ(answer.stats.files_scanned, 1u);
}

TEST_F(StoreTest, UselessIndexIsReportedOnceAndReplaced) {
  builder_.AddFile(0, kId, Blocks(0), IndexKind::kCorrupt);
  builder_.AddFile(1, kId, Blocks(0), IndexKind::kOfAnotherFile);
  EXPECT_EQ(CheckEverything(Take()), "");
  EXPECT_THAT(problems_,
              ElementsAre(HasSubstr(builder_.IndexPath(0, kId)), HasSubstr("index of another file")));
  EXPECT_THAT(Take(), SizeIs(2));
  EXPECT_THAT(problems_, IsEmpty());
  for (uint32_t thread = 0; thread < 2; ++thread) {
    ASSERT_TRUE(RebuildIndex(builder_.PacketPath(thread, kId), builder_.directories()[thread].index_directory,
                             std::to_string(kId)));
  }
  EXPECT_EQ(CheckEverything(Take()), "");
  EXPECT_EQ(store_.totals().unindexed_files, 0u);
}

// Damage inside the index that its footer does not show is found by the query.
TEST_F(StoreTest, DamageInsideAnIndexIsSurvived) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  builder_.AddFile(0, kId, Blocks(0, 2000));
  std::string text(std::filesystem::file_size(builder_.IndexPath(0, kId)), '\0');
  std::ifstream(builder_.IndexPath(0, kId)).read(text.data(), static_cast<std::streamsize>(text.size()));
  for (int round = 0; round < 40; ++round) {
    std::string damaged = text;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
    WriteBytes(builder_.IndexPath(0, kId),
               {reinterpret_cast<const uint8_t*>(damaged.data()), damaged.size()});
    Store store(builder_.directories());
    for (int i = 0; i < 5; ++i) {
      const ExpressionPtr expression = MakeRandomExpression(random, kTestStartNs, kTestStartNs + 2000 * kMs);
      const Answer answer = Ask(*expression, store.Snapshot());
      ASSERT_EQ(Difference(answer.packets, builder_.Expected(*expression)), "") << ToString(*expression);
      ASSERT_THAT(answer.stats.problems, IsEmpty());
    }
  }
}

TEST_F(StoreTest, DamagedPacketFileIsReported) {
  builder_.AddFile(0, kId, Blocks(0), IndexKind::kNone);
  builder_.AddFile(0, kId + 1, Blocks(0));
  WriteBytes(builder_.PacketPath(1, kId), std::vector<uint8_t>(5000, 0xee));
  const Answer answer = Ask(*MakeEverything(), Take());
  EXPECT_THAT(answer.stats.problems, ElementsAre(HasSubstr(builder_.PacketPath(1, kId))));
  EXPECT_EQ(Difference(answer.packets, builder_.Expected(*MakeEverything())), "");
}

TEST_F(StoreTest, BlocksBehindTheIndexAreRead) {
  TestBlocks blocks = Blocks(0, 3000);
  blocks.push_back(MakeBlocks(random_, 100, kTestStartNs + 9000 * kMs, kMs, 0).front());
  // The index is sealed from a segment that never heard of the last blocks.
  const Arena arena = *Arena::Create(0);
  builder_.AddLive(0, kId, blocks, blocks.size() - 2, arena, 0);
  builder_.SealLive(0, kId, std::to_string(kId), arena, 0);
  builder_.Forget(0, kId);
  StoreBuilder whole(1);
  whole.AddFile(0, kId, blocks);
  const StoreSnapshot snapshot = Take();
  ASSERT_THAT(snapshot, SizeIs(1));
  EXPECT_EQ(snapshot[0]->last_ns(), blocks.back().back().time_ns);
  for (int i = 0; i < 20; ++i) {
    const ExpressionPtr expression = MakeRandomExpression(random_, kTestStartNs, kTestStartNs + 9100 * kMs);
    EXPECT_EQ(Difference(Ask(*expression, snapshot).packets, whole.Expected(*expression)), "");
  }
}

TEST_F(StoreTest, MissingDirectoryIsAProblemAndComesBack) {
  builder_.AddFile(0, kId, Blocks(0));
  builder_.AddFile(1, kId, Blocks(0));
  const std::string directory = builder_.directories()[1].packets_directory;
  EXPECT_THAT(Take(), SizeIs(2));
  std::filesystem::rename(directory, directory + "-away");
  EXPECT_THAT(Take(), SizeIs(1));
  EXPECT_THAT(problems_, ElementsAre(HasSubstr(directory)));
  std::filesystem::rename(directory + "-away", directory);
  EXPECT_EQ(CheckEverything(Take()), "");
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(StoreTest, TotalsCountFilesAndCommonHistory) {
  EXPECT_EQ(store_.totals().files, 0u);
  EXPECT_EQ(store_.totals().oldest_ns, 0);
  builder_.AddFile(0, kId, Blocks(0));
  builder_.AddFile(0, kId + 10, Blocks(50), IndexKind::kNone);
  builder_.AddFile(1, kId + 20, Blocks(30));
  const Store::Totals totals = store_.totals();
  EXPECT_EQ(totals.files, 3u);
  EXPECT_EQ(totals.unindexed_files, 1u);
  EXPECT_EQ(totals.oldest_ns, kTestStartNs + 30 * kMs);
  // Captures read from files: a later name may hold earlier packets.
  builder_.AddFile(1, kId + 40, Blocks(20));
  EXPECT_EQ(store_.totals().oldest_ns, kTestStartNs + 20 * kMs);
}

}  // namespace
}  // namespace steno
