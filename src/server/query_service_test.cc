#include "server/query_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/bytes.h"
#include "query/parse.h"
#include "query/test_store.h"
#include "server/printable.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using testing::kTestEpochNs;
using ::testing::StartsWith;
using testing::TestStore;

struct Answer {
  std::string bytes;
  QuerySummary summary;
};

// Waits for the end of a query as a session does, without its signals.
Answer Collect(RunningQuery& query) {
  Answer answer;
  for (;;) {
    RunningQuery::Piece piece = query.Take();
    answer.bytes += piece.bytes;
    if (piece.done) break;
    if (piece.bytes.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  answer.summary = query.summary();
  return answer;
}

// The records of a pcap, by walking its lengths; fails if they do not end where the bytes do.
size_t CountRecords(const std::string& pcap) {
  size_t count = 0;
  size_t at = 24;
  for (; at + 16 <= pcap.size(); ++count) at += 16 + LoadLe<uint32_t>(pcap.data() + at + 8);
  EXPECT_EQ(at, pcap.size());
  return count;
}

class QueryServiceTest : public ::testing::Test {
 protected:
  QueryJob Job(const std::string& text, QueryLimits limits = {}) {
    auto expression = ParseQuery(text, WallNs());
    EXPECT_TRUE(expression) << expression.error().message;
    return {.text = text, .client = {}, .expression = *expression, .limits = limits};
  }
  Answer Ask(const std::string& text, QueryLimits limits = {}) {
    Store store({data_.directory()});
    QueryService service(store, {2, 30 * kNsPerSecond}, stats_);
    return Collect(*service.Start(Job(text, limits), [] {}));
  }

  TestStore data_;
  ServerStats stats_;
};

TEST_F(QueryServiceTest, AnEmptyResultIsTheFileHeaderAlone) {
  data_.AddFile(kTestEpochNs, 100, 80);
  const Answer answer = Ask("port 81");
  ASSERT_EQ(answer.bytes.size(), 24u);
  EXPECT_EQ(LoadLe<uint32_t>(answer.bytes.data()), 0xa1b2c3d4u);
  EXPECT_EQ(LoadLe<uint32_t>(answer.bytes.data() + 20), 1u);
  EXPECT_TRUE(answer.summary.complete);
  EXPECT_EQ(answer.summary.packets, 0u);
  EXPECT_EQ(answer.summary.bytes, 24u);
}

TEST_F(QueryServiceTest, AllMatchesOfAllFiles) {
  data_.AddFile(kTestEpochNs, 1000, 80);
  data_.AddFile(kTestEpochNs + 60 * kNsPerSecond, 500, 80, /*with_index=*/false);
  data_.AddFile(kTestEpochNs + 120 * kNsPerSecond, 100, 443);
  const Answer answer = Ask("port 80");
  EXPECT_EQ(CountRecords(answer.bytes), 1500u);
  EXPECT_EQ(answer.summary.packets, 1500u);
  EXPECT_EQ(answer.summary.bytes, answer.bytes.size());
  EXPECT_TRUE(answer.summary.complete) << answer.summary.reason;
  EXPECT_EQ(answer.summary.reason, "");
  EXPECT_EQ(stats_.queries_completed.load(), 1u);
  EXPECT_EQ(stats_.queries_running.load(), 0u);
  EXPECT_EQ(stats_.packets_matched.load(), 1500u);
}

TEST_F(QueryServiceTest, PacketLimit) {
  data_.AddFile(kTestEpochNs, 100, 80);
  const Answer answer = Ask("port 80", {.packets = 7});
  EXPECT_EQ(CountRecords(answer.bytes), 7u);
  EXPECT_FALSE(answer.summary.complete);
  EXPECT_EQ(answer.summary.reason, "limit-packets");
}

TEST_F(QueryServiceTest, ByteLimitIncludesThePacketThatReachesIt) {
  data_.AddFile(kTestEpochNs, 100, 80);
  const size_t record = Ask("port 80", {.packets = 1}).bytes.size() - 24;
  EXPECT_EQ(CountRecords(Ask("port 80", {.bytes = 16}).bytes), 0u);
  EXPECT_EQ(CountRecords(Ask("port 80", {.bytes = 17}).bytes), 1u);
  EXPECT_EQ(CountRecords(Ask("port 80", {.bytes = 16 + 3 * record}).bytes), 3u);
  const Answer answer = Ask("port 80", {.bytes = 16 + 3 * record + 1});
  EXPECT_EQ(CountRecords(answer.bytes), 4u);
  EXPECT_EQ(answer.summary.reason, "limit-bytes");
}

TEST_F(QueryServiceTest, ASlowConsumerBoundsTheMemory) {
  data_.AddFile(kTestEpochNs, 20'000, 80, true, 1000);
  Store store({data_.directory()});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  const auto query = service.Start(Job("port 80"), [] {});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(stats_.queries_running.load(), 1u) << "it waits for its consumer";
  const RunningQuery::Piece piece = query->Take();
  EXPECT_LE(piece.bytes.size(), ResultStream::kChunkBytes + 2000);
  EXPECT_FALSE(piece.done);
  const std::string first(piece.bytes);
  const Answer rest = Collect(*query);
  EXPECT_EQ(CountRecords(first + rest.bytes), 20'000u);
}

TEST_F(QueryServiceTest, TheDeadlineEndsAQueryThatWaitsForItsConsumer) {
  data_.AddFile(kTestEpochNs, 20'000, 80, true, 1000);
  Store store({data_.directory()});
  QueryService service(store, {1, 200 * kNsPerMs}, stats_);
  const auto query = service.Start(Job("port 80"), [] {});
  while (stats_.queries_completed.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const Answer answer = Collect(*query);
  EXPECT_FALSE(answer.summary.complete);
  EXPECT_EQ(answer.summary.reason, "timeout");
  EXPECT_EQ(CountRecords(answer.bytes), answer.summary.packets) << "cut between packets";
  EXPECT_LT(answer.summary.packets, 20'000u);
}

TEST_F(QueryServiceTest, CancellingFreesTheSlotForTheNext) {
  data_.AddFile(kTestEpochNs, 20'000, 80, true, 1000);
  Store store({data_.directory()});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  const auto first = service.Start(Job("port 80"), [] {});
  const auto second = service.Start(Job("port 81"), [] {});
  while (!first->started()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(second->started());
  EXPECT_EQ(stats_.queries_waiting.load(), 1u);
  first->Cancel();
  EXPECT_EQ(Collect(*second).bytes.size(), 24u);
  EXPECT_EQ(Collect(*first).summary.reason, "cancelled");
}

TEST_F(QueryServiceTest, StoppingEndsWaitingQueriesToo) {
  data_.AddFile(kTestEpochNs, 20'000, 80, true, 1000);
  Store store({data_.directory()});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  const auto first = service.Start(Job("port 80"), [] {});
  const auto second = service.Start(Job("port 80"), [] {});
  service.Stop();
  EXPECT_EQ(Collect(*first).summary.reason, "cancelled");
  EXPECT_EQ(Collect(*second).summary.reason, "cancelled");
}

TEST_F(QueryServiceTest, FormatsWithNanosecondsAndDrops) {
  data_.AddFile(kTestEpochNs, 2'000, 80, true, 1000, /*drops=*/7);  // three blocks
  Store store({data_.directory()});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  QueryJob job = Job("port 80");
  job.format = ResultFormat::kPcapNs;
  const Answer nano = Collect(*service.Start(job, [] {}));
  EXPECT_EQ(LoadLe<uint32_t>(nano.bytes.data()), 0xa1b23c4du);
  EXPECT_EQ(CountRecords(nano.bytes), 2'000u);
  EXPECT_EQ(nano.summary.drops, 14u);
  job.format = ResultFormat::kPcapng;
  const Answer next = Collect(*service.Start(job, [] {}));
  EXPECT_EQ(LoadLe<uint32_t>(next.bytes.data()), 0x0a0d0d0au);
  EXPECT_EQ(next.summary.bytes, next.bytes.size());
  const std::string comment = "7 packets dropped before this one";
  const size_t first = next.bytes.find(comment);
  ASSERT_NE(first, std::string::npos);
  const size_t second = next.bytes.find(comment, first + 1);
  ASSERT_NE(second, std::string::npos);
  EXPECT_EQ(next.bytes.find(comment, second + 1), std::string::npos);
  // One packet behind all drops tells of them together.
  QueryJob late = Job("after 2026-01-01T00:00:01.999Z");
  late.format = ResultFormat::kPcapng;
  EXPECT_NE(Collect(*service.Start(late, [] {})).bytes.find(comment), std::string::npos);
}

TEST_F(QueryServiceTest, SignalsTheFirstPacketAndTheEnd) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Store store({data_.directory()});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  std::atomic<int> signals{0};
  const auto query = service.Start(Job("port 80"), [&] { ++signals; });
  while (stats_.queries_completed.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  service.Stop();
  EXPECT_EQ(signals.load(), 2);
  query->Abandon();
}

TEST_F(QueryServiceTest, DamageMakesTheAnswerIncomplete) {
  data_.AddFile(kTestEpochNs, 100, 80);
  Store store({data_.directory(), {data_.path() + "/missing", data_.path() + "/missing-too"}});
  QueryService service(store, {1, 30 * kNsPerSecond}, stats_);
  const Answer answer = Collect(*service.Start(Job("port 80"), [] {}));
  EXPECT_EQ(CountRecords(answer.bytes), 100u) << "the rest is answered";
  EXPECT_FALSE(answer.summary.complete);
  EXPECT_GE(answer.summary.problems, 1u);
  EXPECT_THAT(answer.summary.reason, HasSubstr("missing"));
}

TEST(PrintableTest, EscapesAndCuts) {
  EXPECT_EQ(Printable("port 80"), "port 80");
  EXPECT_EQ(Printable("a\r\nb\x7f\xff"), "a\\x0d\\x0ab\\x7f\\xff");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace steno
