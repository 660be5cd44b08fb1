#include "server/capture_rates.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace steno {
namespace {

class CaptureRatesTest : public ::testing::Test {
 protected:
  CaptureRatesTest() {
    states_[0].first_slot = 0;
    states_[0].arenas.push_back(std::make_shared<const Arena>(std::move(*Arena::Create(0))));
    counters().started_ns = 1;
  }
  [[nodiscard]] CaptureCounters& counters() { return states_[0].arenas[0]->counters(); }

  std::vector<CaptureState> states_{1};
  CaptureRates rates_;
};

TEST_F(CaptureRatesTest, CountsTheLastTenSeconds) {
  for (int64_t second = 1; second <= 30; ++second) {
    if (second > 20) counters().packets = counters().packets + 100;
    counters().bytes = counters().bytes + 1000;
    rates_.Sample(states_, second * kNsPerSecond);
    rates_.Sample(states_, second * kNsPerSecond + 1);  // too early: not looked at
  }
  counters().ring_drops = 50;
  counters().write_error_drops = 30;
  counters().removed_packets = 30;
  counters().packets = counters().packets + 100;
  rates_.Sample(states_, 31 * kNsPerSecond);
  const auto rates = rates_.rates();
  ASSERT_EQ(rates.size(), 1u);
  EXPECT_NEAR(rates[0].packets_per_second, 100, 0.1);
  EXPECT_NEAR(rates[0].bytes_per_second, 900, 0.1);
  EXPECT_NEAR(rates[0].drops_per_second, 11, 0.1);
}

TEST_F(CaptureRatesTest, AThreadThatBeganAgainHasNoPast) {
  counters().packets = 1'000'000;
  rates_.Sample(states_, kNsPerSecond);
  counters().started_ns = 2;
  counters().packets = 5;
  rates_.Sample(states_, 2 * kNsPerSecond);
  EXPECT_EQ(rates_.rates()[0].packets_per_second, 0);
  counters().packets = 25;
  rates_.Sample(states_, 3 * kNsPerSecond);
  EXPECT_EQ(rates_.rates()[0].packets_per_second, 20);
}

TEST_F(CaptureRatesTest, NothingIsKnownBeforeTheFirstLook) { EXPECT_TRUE(rates_.rates().empty()); }

}  // namespace
}  // namespace steno
