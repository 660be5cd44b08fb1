#include "query/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "query/parse.h"
#include "query/store_builder_test.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using namespace steno::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

constexpr int64_t kHour = 3'600'000'000'000;
constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);

// Three files an hour apart, each with 2,000 packets of DNS in four blocks; the middle one has one other
// packet, the last one no index.
class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() {
    for (int file = 0; file < 3; ++file) {
      TestBlocks blocks(4);
      for (int i = 0; i < 2000; ++i) {
        const bool odd = file == 1 && i == 700;
        auto packet = PacketBuilder().Ethernet().Ipv4(odd ? "203.0.113.9" : "10.0.0.1", "10.0.0.2");
        const auto frame = (odd ? packet.Tcp(1, 443, 2) : packet.Udp(53, 53)).Payload(100).Build();
        blocks[static_cast<size_t>(i) / 500].push_back(
            {kTestStartNs + file * kHour + i, frame, {}, static_cast<uint32_t>(frame.size())});
      }
      builder_.AddFile(0, kId + static_cast<uint64_t>(file * kHour / 1000), blocks,
                       file == 2 ? IndexKind::kNone : IndexKind::kSealed);
    }
  }

  QueryPlan Explain(const std::string& text) {
    const ExpressionPtr query = ParseQuery(text, kTestStartNs + 3 * kHour).value();
    const StoreSnapshot snapshot = store_.Snapshot();
    auto plan = ExplainQuery(*query, snapshot, {});
    EXPECT_TRUE(plan) << plan.error().message;
    // The plan is what the query does.
    const Answer answer = Ask(*query, snapshot);
    EXPECT_EQ(answer.stats.bytes_read, plan->bytes) << text;
    EXPECT_EQ(answer.stats.files_considered, plan->files.total - plan->files.outside_time) << text;
    EXPECT_EQ(answer.stats.files_ruled_out, plan->files.ruled_out) << text;
    return *plan;
  }

  StoreBuilder builder_{1};
  Store store_{builder_.directories()};
};

TEST_F(ExplainTest, CountsFilesBlocksAndBytes) {
  const QueryPlan dns = Explain("udp port 53");
  EXPECT_EQ(dns.query, "udp port 53");
  EXPECT_EQ(dns.bounds, TimeRange{});
  EXPECT_EQ(dns.files.total, 3u);
  EXPECT_EQ(dns.files.to_read, 3u);
  EXPECT_EQ(dns.files.without_index, 1u);
  EXPECT_EQ(dns.blocks, 12u);
  EXPECT_GT(dns.bytes, 6000u * 142);
  EXPECT_THAT(dns.problems, IsEmpty());

  const QueryPlan rare = Explain("host 203.0.113.9");
  EXPECT_EQ(rare.files.ruled_out + rare.files.nothing_to_read, 1u);
  EXPECT_EQ(rare.files.to_read, 2u);
  EXPECT_EQ(rare.blocks, 1u + 4);

  const QueryPlan recent = Explain("host 203.0.113.9 and after 70m ago");
  EXPECT_EQ(recent.files.outside_time, 2u);
  EXPECT_EQ(recent.files.to_read, 1u);
  EXPECT_EQ(Explain("before 2001-01-01T00:00:00Z").files.outside_time, 3u);
  EXPECT_EQ(Explain("before 2001-01-01T00:00:00Z and after 2002-01-01T00:00:00Z").bytes, 0u);
}

TEST_F(ExplainTest, TellsWhatTheIndexAnswers) {
  const QueryPlan plan = Explain(
      "src host 10.0.0.1 and not port 80 and (tcp[13] & 2 != 0 or ether src 2:0:0:0:0:1) and after 90m ago");
  EXPECT_THAT(plan.from_index, ElementsAre("host 10.0.0.1", "port 80", "ip proto 6"));
  EXPECT_THAT(plan.from_packets, ElementsAre("src host 10.0.0.1", "tcp[13] & 2 != 0",
                                             "ether src 02:00:00:00:00:01", HasSubstr("after 2023")));
  EXPECT_EQ(plan.bounds.begin_ns, kTestStartNs + kHour + kHour / 2);
}

TEST_F(ExplainTest, TextForPeople) {
  EXPECT_THAT(
      ToText(Explain("tcp[13] = 2 and host 203.0.113.9 and before 2023-11-14T23:30:00Z")),
      MatchesRegex("query          .tcp.13. = 2 and host 203.0.113.9 and before 2023-11-14T23:30:00Z.\n"
                   "times          before 2023-11-14T23:30:00Z\n"
                   "from the index ip proto 6\n"
                   "               host 203.0.113.9\n"
                   "from packets   tcp.13. = 2\n"
                   "               before 2023-11-14T23:30:00Z\n"
                   "files          1 to read of 3, 1 outside the times, 1 [a-z ]+\n"
                   "to read        [0-9]+ bytes in 1 reads, out of 1 blocks\n"));
  EXPECT_THAT(ToText(Explain("udp")),
              HasSubstr("times          all\nfrom the index proto 17\nfiles          3 to read of 3\n"
                        "               1 of them without an index: all of it is read\n"));
}

TEST_F(ExplainTest, FilesThatAreGoneAreCounted) {
  const StoreSnapshot snapshot = store_.Snapshot();
  std::filesystem::remove(builder_.PacketPath(0, kId));
  const auto plan = ExplainQuery(*ParseQuery("udp", 0).value(), snapshot, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->files.gone, 1u);
  EXPECT_EQ(plan->files.to_read, 2u);
  EXPECT_THAT(ToText(*plan), HasSubstr(", 1 gone"));
}

TEST_F(ExplainTest, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  const auto plan = ExplainQuery(*ParseQuery("udp", 0).value(), store_.Snapshot(), {stop.get_token()});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace steno
