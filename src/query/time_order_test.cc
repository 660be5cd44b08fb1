// Times in queries, to the nanosecond, over files and threads; and the order of what is found.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/clock.h"
#include "query/parse.h"
#include "query/query_text_test.h"
#include "query/store_builder_test.h"
#include "query/time_parse.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using namespace steno::testing;

constexpr uint32_t kThreads = 4;
constexpr int64_t kPackets = 1200;

// A packet that carries its number.
TestPacket Numbered(int64_t number, int64_t time_ns) {
  auto frame = PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(1, 2).Payload(12).Build();
  std::copy_n(reinterpret_cast<const uint8_t*>(&number), sizeof number, frame.end() - sizeof number);
  return {time_ns, frame, {}, static_cast<uint32_t>(frame.size())};
}

// Packet k is captured at Time(k) by thread k % 4, in files of 100 packets per thread and blocks of 10. One
// nanosecond lies between neighbours, so that every block and file of one thread overlaps with those of the
// others.
class QueryTimes : public ::testing::Test {
 protected:
  void Record(int64_t first_ns, int64_t step_ns) {
    first_ns_ = first_ns;
    step_ns_ = step_ns;
    for (uint32_t thread = 0; thread < kThreads; ++thread) {
      std::vector<TestPacket> packets;
      for (int64_t k = thread; k < kPackets; k += kThreads) packets.push_back(Numbered(k, Time(k)));
      for (size_t file = 0; file * 100 < packets.size(); ++file) {
        TestBlocks blocks(10);
        for (size_t i = 0; i < 100; ++i) blocks[i / 10].push_back(packets[file * 100 + i]);
        const auto id = static_cast<uint64_t>(first_ns / 1000) + file;
        builder_.AddFile(thread, id, blocks, file == 1 ? IndexKind::kNone : IndexKind::kSealed);
      }
    }
    store_ = std::make_unique<Store>(builder_.directories());
  }

  [[nodiscard]] int64_t Time(int64_t k) const { return first_ns_ + k * step_ns_; }

  // The numbers of the packets that a query finds are first..last-1, in this order.
  void ExpectRange(const std::string& text, int64_t first, int64_t last, int64_t now_ns = 0) {
    const auto query = ParseQuery(text, now_ns);
    ASSERT_TRUE(query) << text << "\n" << QueryErrorText(query.error());
    const Answer answer = Ask(**query, store_->Snapshot());
    ASSERT_TRUE(answer.status);
    ASSERT_EQ(static_cast<int64_t>(answer.packets.size()), std::max<int64_t>(0, last - first)) << text;
    for (size_t i = 0; i < answer.packets.size(); ++i)
      ASSERT_EQ(answer.packets[i],
                Numbered(first + static_cast<int64_t>(i), Time(first + static_cast<int64_t>(i))))
          << text;
  }

  StoreBuilder builder_{kThreads};
  std::unique_ptr<Store> store_;
  int64_t first_ns_ = 0;
  int64_t step_ns_ = 0;
};

TEST_F(QueryTimes, AreExactToTheNanosecondOverFilesAndThreads) {
  Record(kTestStartNs + 999'999'500, 1);  // over the border of a second
  const uint64_t seed = NumberFromEnvironment("STENO_SEED", std::random_device{}());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto written = [&](int64_t time_ns, const char* zone, int64_t minutes) {
    std::string text = internal::FormatTime(time_ns + minutes * 60 * kNsPerSecond);
    text.pop_back();
    return text + zone;
  };
  ExpectRange("udp", 0, kPackets);
  for (int i = 0; i < 150 && !HasFatalFailure(); ++i) {
    const auto a = static_cast<int64_t>(random() % kPackets);
    const auto b = static_cast<int64_t>(random() % kPackets);
    ExpectRange("after " + written(Time(a), "Z", 0), a, kPackets);
    ExpectRange("before " + written(Time(a), "+05:30", 330), 0, a);
    ExpectRange(fmt::format("udp and after {} and before {}", written(Time(a), "-12:00", -720),
                            written(Time(b), "+14:00", 840)),
                a, b);
    ExpectRange(fmt::format("before {}.{:09} and after {}", Time(b) / kNsPerSecond, Time(b) % kNsPerSecond,
                            written(Time(a), "-00:30", -30)),
                a, b);
    ExpectRange(fmt::format("not after {}", written(Time(a), "z", 0)), 0, a);
  }
}

TEST_F(QueryTimes, RelativeTimesCountFromTheQuery) {
  Record(kTestStartNs, kNsPerSecond);
  const int64_t now = kTestStartNs + 2000 * kNsPerSecond;
  ExpectRange("after 900s ago", 1100, kPackets, now);
  ExpectRange("after 15m ago and udp", 1100, kPackets, now);
  ExpectRange("before 30m10s ago", 0, 190, now);
  ExpectRange("last=15m", 1100, kPackets, now);
  ExpectRange("after 2d ago", 0, kPackets, now);
  ExpectRange("after 1h ago and before 1500s ago", 0, 500, now);
  ExpectRange("after 900s ago", 1101, kPackets, now + 1);
  ExpectRange("before 2d ago", 0, 0, now);
}

// 2016 ended with a leap second, which POSIX time does not have.
TEST_F(QueryTimes, LeapSecondIsTheSecondBehindIt) {
  constexpr int64_t kNewYear2017 = int64_t{1'483'228'800} * kNsPerSecond;
  Record(kNewYear2017 - 600, 1);
  ExpectRange("after 2016-12-31T23:59:60Z", 600, kPackets);
  ExpectRange("before 2016-12-31T23:59:60Z", 0, 600);
  ExpectRange("after 2016-12-31T23:59:59.999999999Z and before 2016-12-31T23:59:60.000000001Z", 599, 601);
  ExpectRange("after 2017-01-01T05:29:60+05:30", 600, kPackets);
}

// A zone is an offset, so the hour that a clock repeats in autumn is no riddle.
TEST_F(QueryTimes, ClocksThatChangeDoNotMatter) {
  constexpr int64_t kAutumn = int64_t{1'729'990'800} * kNsPerSecond;  // 2024-10-27T01:00:00Z
  Record(kAutumn - 600 * 10 * kNsPerSecond, 10 * kNsPerSecond);
  ExpectRange("after 2024-10-27T02:59:59.999999999+02:00", 600, kPackets);
  ExpectRange("after 2024-10-27T02:00:00+01:00", 600, kPackets);
  ExpectRange("after 2024-10-27T02:30:00+02:00 and before 2024-10-27T02:30:00+01:00", 420, 780);
}

// Equal times: by thread, then as they were captured.
TEST_F(QueryTimes, EqualTimesKeepTheOrderOfCapture) {
  Record(kTestStartNs, 0);
  const Answer answer = Ask(*ParseQuery("udp", 0).value(), store_->Snapshot());
  ASSERT_EQ(static_cast<int64_t>(answer.packets.size()), kPackets);
  for (int64_t i = 0; i < kPackets; ++i) {
    const int64_t per_thread = kPackets / kThreads;
    const int64_t number = i / per_thread + i % per_thread * kThreads;
    ASSERT_EQ(answer.packets[static_cast<size_t>(i)], Numbered(number, kTestStartNs)) << i;
  }
}

}  // namespace
}  // namespace steno
