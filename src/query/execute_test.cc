#include "query/execute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <stop_token>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "query/memory_budget.h"
#include "query/read_governor.h"
#include "query/store_builder_test.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using namespace steno::testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kMs = kNsPerMs;
constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);

TEST(ExecuteQueryTest, RandomQueriesEqualBruteForce) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  StoreBuilder builder(3);
  // Three directories whose files overlap in time, within a directory and between them, with equal times.
  for (uint32_t thread = 0; thread < 3; ++thread) {
    for (uint64_t file = 0; file < 3; ++file) {
      const int64_t start = kTestStartNs + static_cast<int64_t>(file) * 800 * kMs;
      const auto kind = thread == 1 && file == 1   ? IndexKind::kNone
                        : thread == 2 && file == 0 ? IndexKind::kCorrupt
                        : thread == 2 && file == 2 ? IndexKind::kOfAnotherFile
                                                   : IndexKind::kSealed;
      builder.AddFile(thread, kId + file * 800'000, MakeBlocks(random, 1500, start, kMs, thread * 50 * kMs),
                      kind);
    }
  }
  const auto arena = std::make_shared<const Arena>(*Arena::Create(0));
  const TestBlocks live = MakeBlocks(random, 2500, kTestStartNs + 2000 * kMs, kMs, 5 * kMs);
  builder.AddLive(0, kId + 2'000'000, live, live.size() - live.size() / 3, *arena, 1);

  Store store(builder.directories());
  store.SetArenas({arena, nullptr, nullptr});
  std::vector<std::string> problems;
  const StoreSnapshot snapshot = store.Snapshot(&problems);
  EXPECT_THAT(snapshot, SizeIs(10));
  EXPECT_THAT(problems, SizeIs(2));  // the two useless indexes
  size_t matched = 0;
  for (int i = 0; i < 300; ++i) {
    const ExpressionPtr expression =
        MakeRandomExpression(random, kTestStartNs - 100 * kMs, kTestStartNs + 5000 * kMs);
    const Answer answer = Ask(*expression, snapshot);
    ASSERT_TRUE(answer.status) << answer.status.error().message;
    ASSERT_EQ(Difference(answer.packets, builder.Expected(*expression)), "") << ToString(*expression);
    ASSERT_THAT(answer.stats.problems, IsEmpty());
    ASSERT_EQ(answer.stats.packets_matched, answer.packets.size());
    matched += answer.packets.size();
  }
  EXPECT_GT(matched, 10'000u);
}

// Captures that were read from files: no order, equal times, times long ago and in the year 2106, none at
// all.
TEST(ExecuteQueryTest, TimesOfAnyOrderEqualBruteForce) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr int64_t kLast = int64_t{UINT32_MAX} * kNsPerSecond + kNsPerSecond - 1;
  const std::vector<int64_t> times{
      0, 1, 2, 999, 1000, kNsPerSecond, kTestStartNs - 1, kTestStartNs, kTestStartNs + 1, kLast - 1, kLast};
  StoreBuilder builder(2);
  for (uint32_t thread = 0; thread < 2; ++thread) {
    for (uint64_t file = 0; file < 4; ++file) {
      TestBlocks blocks(3 + random() % 5);
      for (auto& block : blocks) {
        for (size_t i = 0; i < 60; ++i) {
          const int64_t time =
              random() % 2 == 0 ? times[random() % times.size()] : static_cast<int64_t>(random() % kLast);
          block.push_back(MakePacket(random, time));
        }
      }
      // Names as the recorder gives them: of the first packet, or the next that is free.
      auto id = std::max<uint64_t>(1, static_cast<uint64_t>(blocks.front().front().time_ns / 1000));
      while (std::filesystem::exists(builder.PacketPath(thread, id))) ++id;
      builder.AddFile(thread, id, blocks, file == 1 ? IndexKind::kNone : IndexKind::kSealed);
    }
  }
  Store store(builder.directories());
  const StoreSnapshot snapshot = store.Snapshot();
  const Answer all = Ask(*MakeEverything(), snapshot);
  EXPECT_EQ(Difference(all.packets, builder.Expected(*MakeEverything())), "");
  EXPECT_THAT(all.packets, SizeIs(builder.packets()));
  for (const int64_t time : times) {
    for (const TimeRange range :
         {TimeRange{time, INT64_MAX}, TimeRange{INT64_MIN, time}, TimeRange{time, time + 1}}) {
      const ExpressionPtr expression = MakeTime(range);
      ASSERT_EQ(Difference(Ask(*expression, snapshot).packets, builder.Expected(*expression)), "") << time;
    }
  }
  for (int i = 0; i < 200; ++i) {
    const ExpressionPtr expression = MakeRandomExpression(random, 0, i % 2 == 0 ? kLast : 5);
    ASSERT_EQ(Difference(Ask(*expression, snapshot).packets, builder.Expected(*expression)), "")
        << ToString(*expression);
  }
}

TEST(ExecuteQueryTest, IndexSavesReading) {
  StoreBuilder builder(1);
  TestBlocks blocks(20);
  for (int i = 0; i < 20'000; ++i) {
    const char* address = i == 11'111 ? "203.0.113.9" : "10.0.0.1";
    std::vector<uint8_t> frame =
        PacketBuilder().Ethernet().Ipv4(address, "10.0.0.2").Udp(53, 53).Payload(100).Build();
    const auto bytes = static_cast<uint32_t>(frame.size());
    blocks[static_cast<size_t>(i) / 1000].push_back({kTestStartNs + i * kMs, std::move(frame), {}, bytes});
  }
  builder.AddFile(0, kId, blocks);
  Store store(builder.directories());
  const Answer by_time = Ask(*MakeTime({kTestStartNs + 7 * kMs, kTestStartNs + 8 * kMs}), store.Snapshot());
  EXPECT_THAT(by_time.packets, SizeIs(1));
  EXPECT_EQ(by_time.stats.packets_read, 1000u);  // its block
  Term host;
  host.kind = TermKind::kAddress;
  host.addresses = Prefix(*ParseAddress("203.0.113.9"), 32);
  const Answer by_host = Ask(*MakeTerm(host), store.Snapshot());
  EXPECT_EQ(Difference(by_host.packets, builder.Expected(*MakeTerm(host))), "");
  EXPECT_THAT(by_host.packets, SizeIs(1));
  EXPECT_LE(by_host.stats.bytes_read, kGranuleBytes + 512);
}

TEST(ExecuteQueryTest, EqualTimesGoByDirectoryFileOffset) {
  std::mt19937_64 random(2);
  StoreBuilder builder(2);
  for (uint32_t thread = 0; thread < 2; ++thread) {
    for (uint64_t file = 0; file < 3; ++file) {
      // Of every file all packets have the same time, and of two files it is the same.
      const int64_t time = kTestStartNs + static_cast<int64_t>(file / 2);
      builder.AddFile(thread, kId + file, MakeBlocks(random, 300, time, 0, 0));
    }
  }
  Store store(builder.directories());
  const Answer answer = Ask(*MakeEverything(), store.Snapshot());
  EXPECT_EQ(Difference(answer.packets, builder.Expected(*MakeEverything())), "");
  EXPECT_THAT(answer.packets, SizeIs(1800));
}

TEST(ExecuteQueryTest, ManyFilesAreOpenedOnceInOrder) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  StoreBuilder builder(2);
  constexpr uint64_t kFiles = 150;
  for (uint64_t file = 0; file < kFiles; ++file) {
    const int64_t start = kTestStartNs + static_cast<int64_t>(file) * 10 * kMs;
    builder.AddFile(file % 2, kId + file * 10'000, MakeBlocks(random, 30, start, kMs, 20 * kMs),
                    file % 10 == 3 ? IndexKind::kNone : IndexKind::kSealed);
  }
  Store store(builder.directories());
  const StoreSnapshot snapshot = store.Snapshot();
  for (int i = 0; i < 30; ++i) {
    const ExpressionPtr expression = MakeRandomExpression(random, kTestStartNs, kTestStartNs + 1500 * kMs);
    const Answer answer = Ask(*expression, snapshot);
    ASSERT_EQ(Difference(answer.packets, builder.Expected(*expression)), "") << ToString(*expression);
    ASSERT_EQ(answer.stats.files_opened + answer.stats.files_ruled_out, answer.stats.files_considered);
  }
  const Answer all = Ask(*MakeEverything(), snapshot);
  EXPECT_EQ(all.stats.files_considered, kFiles);
  EXPECT_EQ(all.stats.files_scanned, kFiles / 10);
  // To end early with plans still in the making must neither hang nor crash.
  QueryStats stats;
  EXPECT_TRUE(ExecuteQuery(
      *MakeEverything(), snapshot, {}, [](const PacketView&, const PacketSource&) { return false; }, stats));
}

class EndTest : public ::testing::Test {
 protected:
  EndTest() : builder_(1), store_(Fill()) {}

  std::vector<StoreDirectory> Fill() {
    std::mt19937_64 random(3);
    builder_.AddFile(0, kId, MakeBlocks(random, 5000, kTestStartNs, kMs, 0));
    builder_.AddFile(0, kId + 5'000'000, MakeBlocks(random, 5000, kTestStartNs + 5000 * kMs, kMs, 0));
    return builder_.directories();
  }

  StoreBuilder builder_;
  Store store_;
};

TEST_F(EndTest, EmitFalseIsNoError) {
  QueryStats stats;
  int calls = 0;
  const Status status = ExecuteQuery(
      *MakeEverything(), store_.Snapshot(), {},
      [&](const PacketView&, const PacketSource&) { return ++calls < 10; }, stats);
  EXPECT_TRUE(status);
  EXPECT_EQ(calls, 10);
  EXPECT_EQ(stats.files_opened, 1u);  // the second one's time never came
}

// Of which nothing more may be read for hours.
TEST(ExecuteQueryTest, StopEndsAWaitForTheCapturesSake) {
  std::mt19937_64 random(8);
  StoreBuilder builder(1);
  builder.AddFile(0, kTestStartNs / 1000, MakeBlocks(random, 4000, kTestStartNs, 1000, 0));
  Store store(builder.directories());
  ReadGovernor governor(1);
  std::stop_source stop;
  std::jthread stopper([&](const std::stop_token& end) {
    while (governor.totals().waits == 0 && !end.stop_requested()) std::this_thread::yield();
    stop.request_stop();
  });
  const Answer answer =
      Ask(*MakeEverything(), store.Snapshot(), {.stop = stop.get_token(), .governor = &governor});
  ASSERT_FALSE(answer.status);
  EXPECT_EQ(answer.status.error().code, ErrorCode::kCancelled);
}

TEST_F(EndTest, StopCancels) {
  std::stop_source stop;
  QueryStats stats;
  QueryOptions options;
  options.stop = stop.get_token();
  size_t calls = 0;
  const Status status = ExecuteQuery(
      *MakeEverything(), store_.Snapshot(), options,
      [&](const PacketView&, const PacketSource&) {
        if (++calls == 100) stop.request_stop();
        return true;
      },
      stats);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_LT(calls, 100u + 1024 + 1);
}

TEST_F(EndTest, DeadlineEnds) {
  QueryOptions options;
  options.deadline_ns = MonotonicNs();
  const Answer late = Ask(*MakeEverything(), store_.Snapshot(), options);
  ASSERT_FALSE(late.status);
  EXPECT_EQ(late.status.error().code, ErrorCode::kDeadline);
  EXPECT_THAT(late.packets, IsEmpty());
  options.deadline_ns = MonotonicNs() + 600 * kNsPerSecond;
  EXPECT_TRUE(Ask(*MakeEverything(), store_.Snapshot(), options).status);
}

TEST_F(EndTest, DeletedFileIsGone) {
  const StoreSnapshot snapshot = store_.Snapshot();
  std::filesystem::remove(builder_.PacketPath(0, kId));
  builder_.Forget(0, kId);
  const Answer answer = Ask(*MakeEverything(), snapshot);
  EXPECT_TRUE(answer.status);
  EXPECT_EQ(answer.stats.files_gone, 1u);
  EXPECT_THAT(answer.stats.problems, IsEmpty());
  EXPECT_EQ(Difference(answer.packets, builder_.Expected(*MakeEverything())), "");
}

TEST_F(EndTest, IndexDeletedUnderTheQueryMeansScan) {
  const StoreSnapshot snapshot = store_.Snapshot();
  std::filesystem::remove(builder_.IndexPath(0, kId));
  Term term;
  term.kind = TermKind::kPort;
  term.first = term.last = 53;
  const Answer answer = Ask(*MakeTerm(term), snapshot);
  EXPECT_EQ(answer.stats.files_scanned, 1u);
  EXPECT_THAT(answer.stats.problems, IsEmpty());
  EXPECT_EQ(Difference(answer.packets, builder_.Expected(*MakeTerm(term))), "");
}

TEST_F(EndTest, TruncatedFileIsReportedAndTheRestAnswered) {
  const StoreSnapshot snapshot = store_.Snapshot();
  const std::string path = builder_.PacketPath(0, kId);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2 + 100);
  const std::vector<TestPacket> all = builder_.Expected(*MakeEverything());
  const Answer answer = Ask(*MakeEverything(), snapshot);
  EXPECT_TRUE(answer.status);
  ASSERT_FALSE(answer.stats.problems.empty());
  EXPECT_THAT(answer.stats.problems.front(), HasSubstr(path));
  EXPECT_LE(answer.stats.problems.size(), 2u);
  // All of the second file, and of the first what is there: a prefix.
  ASSERT_GT(answer.packets.size(), 5000u);
  ASSERT_LT(answer.packets.size(), 10'000u);
  const size_t kept = answer.packets.size() - 5000;
  std::vector<TestPacket> expected(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept));
  expected.insert(expected.end(), all.begin() + 5000, all.end());
  EXPECT_EQ(Difference(answer.packets, expected), "");
}

TEST_F(EndTest, HeldBytesAreLimited) {
  std::mt19937_64 random(4);
  StoreBuilder builder(1);
  // Every block holds one packet of the beginning and goes on to the end of time.
  TestBlocks blocks = MakeBlocks(random, 8000, kTestStartNs, kMs, 0);
  for (auto& block : blocks) block.front().time_ns = kTestStartNs;
  builder.AddFile(0, kId, blocks);
  Store store(builder.directories());
  const std::vector<TestPacket> expected = builder.Expected(*MakeEverything());
  const Answer exact = Ask(*MakeEverything(), store.Snapshot());
  EXPECT_EQ(Difference(exact.packets, expected), "");
  EXPECT_THAT(exact.stats.problems, IsEmpty());

  const auto by_content = [](const TestPacket& a, const TestPacket& b) {
    return std::tie(a.time_ns, a.frame, a.tag.tci) < std::tie(b.time_ns, b.frame, b.tag.tci);
  };
  std::vector<TestPacket> sorted = expected;
  std::ranges::sort(sorted, by_content);
  for (const uint64_t limit : {uint64_t{0}, uint64_t{100'000}, uint64_t{1} << 20}) {
    QueryOptions options;
    options.held_bytes_limit = limit;
    Answer bounded = Ask(*MakeEverything(), store.Snapshot(), options);
    EXPECT_TRUE(bounded.status);
    EXPECT_THAT(bounded.stats.problems, IsEmpty());
    EXPECT_TRUE(std::ranges::is_sorted(bounded.packets, {}, &TestPacket::time_ns));
    std::ranges::stable_sort(bounded.packets, by_content);  // equal times are in any order
    EXPECT_EQ(Difference(bounded.packets, sorted), "") << limit;
  }
}

// The worst that files can hold: no order at all, more of it than fits.
TEST_F(EndTest, UnorderedFilesAreOrderedInLittleMemory) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  StoreBuilder builder(2);
  std::vector<int64_t> times(6 * 3000);
  for (size_t i = 0; i < times.size(); ++i) times[i] = kTestStartNs + static_cast<int64_t>(i) * 997;
  std::ranges::shuffle(times, random);
  for (uint32_t thread = 0; thread < 2; ++thread) {
    for (uint64_t file = 0; file < 3; ++file) {
      TestBlocks blocks = MakeBlocks(random, 3000, 0, 1, 0);
      for (auto& block : blocks) {
        for (TestPacket& packet : block) {
          packet.time_ns = times.back();
          times.pop_back();
        }
      }
      builder.AddFile(thread, kId + file, blocks, file == 1 ? IndexKind::kNone : IndexKind::kSealed);
    }
  }
  Store store(builder.directories());
  const ExpressionPtr everything = MakeEverything();
  const std::vector<TestPacket> expected = builder.Expected(*everything);
  uint64_t read = Ask(*everything, store.Snapshot()).stats.packets_read;
  EXPECT_EQ(read, 18'000u);
  for (const uint64_t limit : {uint64_t{8} << 20, uint64_t{2} << 20, uint64_t{1} << 20}) {
    QueryOptions options;
    options.held_bytes_limit = limit;
    const Answer answer = Ask(*everything, store.Snapshot(), options);
    EXPECT_EQ(Difference(answer.packets, expected), "") << limit;
    EXPECT_THAT(answer.stats.problems, IsEmpty());
    // The same for want of what other queries hold.
    MemoryBudget budget(0);
    HeldMemory others(&budget);
    others.Take(1);
    options.held_bytes_limit = UINT64_MAX;
    options.memory = &budget;
    const Answer squeezed = Ask(*everything, store.Snapshot(), options);
    EXPECT_EQ(Difference(squeezed.packets, expected), "");
    EXPECT_EQ(budget.used(), 1u) << "all is given back";
    EXPECT_GT(budget.refusals(), 0u);
    EXPECT_GE(answer.stats.packets_read, read) << "less memory costs more reading";
    read = answer.stats.packets_read;
  }
  EXPECT_GT(read, 2 * 18'000u);
  EXPECT_LT(read, 50 * 18'000u);
  for (int i = 0; i < 30; ++i) {
    const ExpressionPtr expression =
        MakeRandomExpression(random, kTestStartNs, kTestStartNs + 18'000 * int64_t{997});
    QueryOptions options;
    options.held_bytes_limit = random() % 4'000'000;
    const Answer answer = Ask(*expression, store.Snapshot(), options);
    ASSERT_EQ(Difference(answer.packets, builder.Expected(*expression)), "") << ToString(*expression);
  }
}

TEST(ExecuteQueryTest, EmptyStoreAndEmptyRange) {
  StoreBuilder builder(1);
  Store store(builder.directories());
  EXPECT_TRUE(Ask(*MakeEverything(), store.Snapshot()).status);
  std::mt19937_64 random(5);
  builder.AddFile(0, kId, MakeBlocks(random, 10, kTestStartNs, kMs, 0));
  const Answer empty = Ask(*MakeTime({kTestStartNs, kTestStartNs}), store.Snapshot());
  EXPECT_TRUE(empty.status);
  EXPECT_EQ(empty.stats.files_considered, 0u);
}

}  // namespace
}  // namespace steno
