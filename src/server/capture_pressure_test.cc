#include "server/capture_pressure.h"

#include <gtest/gtest.h>

#include <memory>

#include "index/arena.h"

namespace steno {
namespace {

TEST(CapturePressureTest, SeesFullRingsSlowWritesAndDrops) {
  const auto easy = std::make_shared<const Arena>(*Arena::Create(0));
  const auto hard = std::make_shared<const Arena>(*Arena::Create(1));
  CaptureState capture;
  capture.arenas = {easy, nullptr, hard};
  CapturePressure pressure;
  for (const auto& arena : {easy, hard}) arena->counters().ring_blocks_total = 100;
  hard->counters().ring_blocks_used = 75;
  hard->counters().ring_drops = 5;
  ReadGovernor::Pressure seen = pressure.Sample({capture});
  EXPECT_EQ(seen.ring_fill, 0.75);
  EXPECT_EQ(seen.write_ns, 0);
  EXPECT_FALSE(seen.drops) << "those of before are no news";

  hard->counters().ring_blocks_used = 0;
  hard->counters().write_latency[3] = 4;
  hard->counters().write_latency_sum_ns = 4'000'000;
  easy->counters().write_latency[0] = 2;
  easy->counters().write_latency_sum_ns = 200'000;
  seen = pressure.Sample({capture});
  EXPECT_EQ(seen.ring_fill, 0);
  EXPECT_EQ(seen.write_ns, 1'000'000);
  EXPECT_FALSE(seen.drops);

  easy->counters().ring_drops = 1;
  seen = pressure.Sample({capture});
  EXPECT_EQ(seen.write_ns, 0) << "none since";
  EXPECT_TRUE(seen.drops);
}

// What a stranger writes there must do no harm.
TEST(CapturePressureTest, AnyCountersAreSafe) {
  const auto arena = std::make_shared<const Arena>(*Arena::Create(0));
  CaptureState capture;
  capture.arenas = {arena};
  CapturePressure pressure;
  pressure.Sample({capture});
  for (Counter& counter : AllCounters(arena->counters())) counter = UINT64_MAX;
  const ReadGovernor::Pressure seen = pressure.Sample({capture});
  EXPECT_GE(seen.ring_fill, 0);
  EXPECT_LE(seen.ring_fill, 1);
  EXPECT_GE(seen.write_ns, 0);
}

}  // namespace
}  // namespace steno
