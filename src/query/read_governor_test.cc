#include "query/read_governor.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace steno {
namespace {

constexpr int64_t kTick = 100 * kNsPerMs;
constexpr uint64_t kMB = 1'000'000;
constexpr ReadGovernor::Pressure kCalm{.ring_fill = 0.1, .write_ns = kNsPerMs, .drops = false};
constexpr ReadGovernor::Pressure kFull{.ring_fill = 0.9, .write_ns = kNsPerMs, .drops = false};

// Reads as much as it may for a second in pieces of 1 MB, the pressure being as `pressure` says ten times.
uint64_t ReadForASecond(ReadGovernor& governor, const ReadGovernor::Pressure& pressure, int64_t& now) {
  uint64_t bytes = 0;
  const int64_t end = now + kNsPerSecond;
  for (int64_t tick = now; tick < end; tick += kTick) {
    while (now < tick + kTick && bytes < 3000 * kMB) {
      now = std::max(now + kNsPerMs / 4, governor.Book(kMB, now));  // the disk does not give more than 4 GB/s
      bytes += kMB;
    }
    now = std::max(now, tick + kTick);
    governor.Adjust(pressure, now);
  }
  return bytes;
}

TEST(ReadGovernorTest, ReadsAreFreeWhileTheCaptureIsAtEase) {
  ReadGovernor governor;
  int64_t now = kNsPerSecond;
  EXPECT_EQ(ReadForASecond(governor, kCalm, now), 3000 * kMB);
  EXPECT_EQ(governor.totals().waits, 0u);
  EXPECT_EQ(governor.totals().bytes_per_second, 0u);
}

TEST(ReadGovernorTest, ReadsAheadAreBookedOnlyWhileReadsAreFree) {
  ReadGovernor governor;
  EXPECT_TRUE(governor.BookIfFree(kMB));
  EXPECT_EQ(governor.totals().bytes, kMB);
  governor.SetLimit(1000 * kMB);
  EXPECT_FALSE(governor.BookIfFree(kMB));
  EXPECT_EQ(governor.totals().bytes, kMB);
  governor.SetLimit(0);
  int64_t now = kNsPerSecond;
  governor.Adjust(kCalm, now);
  ReadForASecond(governor, kFull, now);
  EXPECT_FALSE(governor.BookIfFree(kMB)) << "the capture needs its disk";
}

TEST(ReadGovernorTest, SlowsDownUnderPressureButNeverStarves) {
  ReadGovernor governor;
  int64_t now = kNsPerSecond;
  governor.Adjust(kCalm, now);
  ReadForASecond(governor, kFull, now);
  EXPECT_GT(governor.totals().slowed, 0u);
  for (int i = 0; i < 5; ++i) ReadForASecond(governor, kFull, now);
  const uint64_t slow = ReadForASecond(governor, kFull, now);
  EXPECT_GE(slow, ReadGovernor::kFloorBytesPerSecond - kMB);
  EXPECT_LE(slow, 2 * ReadGovernor::kFloorBytesPerSecond);
  EXPECT_GT(governor.totals().wait_ns, 0);
}

TEST(ReadGovernorTest, RecoversUntilReadsAreFree) {
  ReadGovernor governor;
  int64_t now = kNsPerSecond;
  governor.Adjust(kCalm, now);
  for (int i = 0; i < 3; ++i) ReadForASecond(governor, kFull, now);
  uint64_t before = ReadForASecond(governor, kCalm, now);
  const uint64_t after = ReadForASecond(governor, kCalm, now);
  EXPECT_GT(after, before);
  for (int i = 0; i < 10; ++i) ReadForASecond(governor, kCalm, now);
  EXPECT_EQ(governor.totals().bytes_per_second, 0u);
  EXPECT_EQ(ReadForASecond(governor, kCalm, now), 3000 * kMB);
}

TEST(ReadGovernorTest, EachSignOfTroubleCounts) {
  EXPECT_FALSE(ReadGovernor::IsHigh(kCalm));
  EXPECT_TRUE(ReadGovernor::IsHigh(kFull));
  EXPECT_TRUE(ReadGovernor::IsHigh({.ring_fill = 0, .write_ns = kNsPerSecond, .drops = false}));
  EXPECT_TRUE(ReadGovernor::IsHigh({.ring_fill = 0, .write_ns = 0, .drops = true}));
}

TEST(ReadGovernorTest, PressureThatQueriesHaveNoPartInLimitsNothing) {
  ReadGovernor governor;
  int64_t now = kNsPerSecond;
  for (int i = 0; i < 100; ++i) governor.Adjust(kFull, now += kTick);
  EXPECT_EQ(governor.totals().bytes_per_second, 0u);
}

TEST(ReadGovernorTest, ALimitOfTheConfigurationAlwaysHolds) {
  ReadGovernor governor(100 * kMB);
  int64_t now = kNsPerSecond;
  EXPECT_LE(ReadForASecond(governor, kCalm, now), 102 * kMB);
  ReadForASecond(governor, kFull, now);
  EXPECT_LT(governor.totals().bytes_per_second, 100 * kMB);
  for (int i = 0; i < 10; ++i) ReadForASecond(governor, kCalm, now);
  EXPECT_EQ(governor.totals().bytes_per_second, 100 * kMB);
}

}  // namespace
}  // namespace steno
