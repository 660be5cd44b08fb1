#include "base/interrupt.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace steno {
namespace {

TEST(InterruptTest, NothingIsInterruptedWithoutAScope) {
  EXPECT_TRUE(CheckInterrupt());
  EXPECT_FALSE(InterruptScope::Current());
}

TEST(InterruptTest, TheInnermostScopeCounts) {
  const InterruptScope outer([] { return true; });
  EXPECT_EQ(CheckInterrupt().error().code, ErrorCode::kCancelled);
  {
    const InterruptScope inner([] { return false; });
    EXPECT_TRUE(CheckInterrupt());
  }
  EXPECT_FALSE(CheckInterrupt());
  std::thread([taken = InterruptScope::Current()] {
    EXPECT_TRUE(CheckInterrupt()) << "another thread has no scope of its own";
    const InterruptScope along(taken);
    EXPECT_FALSE(CheckInterrupt());
  }).join();
}

TEST(InterruptTest, WaitingForAMutexEnds) {
  std::mutex mutex;
  std::unique_lock held(mutex);
  std::atomic<int> asked = 0;
  std::thread([&] {
    const InterruptScope scope([&] { return ++asked == 3; });
    EXPECT_EQ(LockInterruptibly(mutex).error().code, ErrorCode::kCancelled);
    EXPECT_EQ(asked, 3);
  }).join();
  held.unlock();
  EXPECT_TRUE(LockInterruptibly(mutex)->owns_lock());
}

}  // namespace
}  // namespace steno
