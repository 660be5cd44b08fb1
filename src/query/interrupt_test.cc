// A query that is to stop asks often enough, and what it leaves half done spoils nothing.
#include "base/interrupt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "query/execute.h"
#include "query/file_plan.h"
#include "query/parse.h"
#include "query/plan_ahead.h"
#include "query/test_store.h"

namespace steno {
namespace {

using testing::kTestEpochNs;
using testing::TestStore;

class QueryInterruptTest : public ::testing::Test {
 protected:
  static ExpressionPtr Parse(const std::string& text) { return *ParseQuery(text, kTestEpochNs); }
  StoreSnapshot Snapshot() { return Store({data_.directory()}).Snapshot(); }

  // Plans the only file of the store anew, with a stop at the (k+1)th question; whether it was interrupted.
  // Whatever k is, no further question is asked after that one.
  bool InterruptedAfter(size_t k, size_t& units) {
    const StoreSnapshot snapshot = Snapshot();
    const PlanRequest request = MakePlanRequest(*expression_);
    size_t asked = 0;
    bool interrupted = false;
    {
      const InterruptScope scope([&] { return ++asked > k; });
      const Result<FilePlan> plan = PlanFile(*snapshot.front(), request);
      interrupted = !plan;
      if (!plan) {
        EXPECT_EQ(plan.error().code, ErrorCode::kCancelled) << plan.error().message;
      }
    }
    EXPECT_EQ(asked > k, interrupted);
    EXPECT_LE(asked, k + 1) << "work goes on after the stop";
    const Result<FilePlan> whole = PlanFile(*snapshot.front(), request);
    EXPECT_TRUE(whole) << "the file is spoilt by the interruption: " << whole.error().message;
    units = whole ? whole->units.size() : 0;
    return interrupted;
  }

  struct Counts {
    size_t questions = 0;
    size_t units = 0;
  };
  // How often the plan of the store's only file asks, each question having been answered by a stop in turn.
  Counts CountQuestions() {
    Counts counts;
    while (InterruptedAfter(counts.questions, counts.units)) ++counts.questions;
    return counts;
  }

  TestStore data_;
  ExpressionPtr expression_ = Parse("port 80 and (host 10.0.0.1 or host 10.9.9.9)");
};

TEST_F(QueryInterruptTest, TheWalkOverAFileWithoutIndexEndsAtEveryBlock) {
  data_.AddFile(kTestEpochNs, 4000, 80, false, 1000);
  const auto [questions, units] = CountQuestions();
  EXPECT_GE(units, 4u);
  EXPECT_GE(questions, units) << "each block is a question";
}

TEST_F(QueryInterruptTest, TheEvaluationOfAnIndexEndsAtEveryTerm) {
  data_.AddFile(kTestEpochNs, 4000, 80, true, 1000);
  const auto [questions, units] = CountQuestions();
  EXPECT_GE(units, 4u);
  EXPECT_GE(questions, 5u) << "the terms and what joins them";
}

TEST_F(QueryInterruptTest, PlansMadeAheadEndToo) {
  for (int i = 0; i < 40; ++i) data_.AddFile(kTestEpochNs + i * kNsPerSecond, 200, 80, false, 1000);
  const StoreSnapshot snapshot = Snapshot();
  std::vector<const StoredFile*> files;
  for (const auto& file : snapshot) files.push_back(file.get());
  const InterruptScope scope([] { return true; });
  PlanAhead plans(files, MakePlanRequest(*expression_));
  const Result<FilePlan> plan = plans.Take(0);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kCancelled);
}

// The stop comes at the k-th packet, read, or question of the whole query: the status says so, and nothing
// is told as a problem of the files.
TEST_F(QueryInterruptTest, AStoppedQueryReportsItsStopAndNoProblem) {
  for (int i = 0; i < 30; ++i) data_.AddFile(kTestEpochNs + i * kNsPerSecond, 100, 80, i % 2 == 0, 1000);
  Store store({data_.directory()});
  for (const uint64_t at : {1, 2, 500, 1500, 1900}) {
    std::stop_source stop;
    QueryStats stats;
    uint64_t packets = 0;
    const QueryOptions options{.stop = stop.get_token()};
    const Status status = ExecuteQuery(
        *expression_, store.Snapshot(), options,
        [&](const PacketView&, const PacketSource&) {
          if (++packets == at) stop.request_stop();
          return true;
        },
        stats);
    ASSERT_FALSE(status) << at;
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_THAT(stats.problems, ::testing::IsEmpty());
    EXPECT_LE(packets, at + 1024) << "packets after the stop";
  }
}

}  // namespace
}  // namespace steno
