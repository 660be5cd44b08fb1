#include "server/service_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/clock.h"

namespace steno {
namespace {

TEST(StuckTickerTest, NamesTheThreadThatDoesNotComeBack) {
  std::promise<void> entered;
  std::promise<void> release;
  std::shared_future<void> released(release.get_future());
  Ticker ticker("the-stuck-one", [&](const std::stop_token&) {
    entered.set_value();
    released.wait();
    return std::chrono::hours(1);
  });
  entered.get_future().wait();
  const int64_t now_ns = MonotonicNs();
  EXPECT_EQ(StuckTicker({&ticker}, kNsPerSecond, now_ns), "");
  EXPECT_EQ(StuckTicker({&ticker}, kNsPerSecond, now_ns + 2 * kNsPerSecond), "thread the-stuck-one");
  release.set_value();
  while (ticker.busy_since_ns() != 0) std::this_thread::yield();
  EXPECT_EQ(StuckTicker({&ticker}, kNsPerSecond, now_ns + 2 * kNsPerSecond), "");
}

}  // namespace
}  // namespace steno
