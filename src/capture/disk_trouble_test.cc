#include "capture/disk_trouble.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "capture/counter.h"

namespace steno {
namespace {

constexpr int64_t kStart = 1000 * kNsPerSecond;

class DiskTroubleTest : public ::testing::Test {
 protected:
  [[nodiscard]] uint64_t Errno() const { return ValueOf(counters_.disk_errno); }

  Arena arena_ = *Arena::Create(0);
  CaptureCounters& counters_ = arena_.counters();
  DiskTrouble trouble_{0, "/nowhere", counters_};
};

TEST_F(DiskTroubleTest, BeginsWithAFailureAndEndsAWhileAfterTheLatest) {
  AddTo(counters_.ring_drops, 7);
  trouble_.Failed(ENOSPC, "make a file", kStart - 2 * kNsPerSecond, kStart);
  EXPECT_TRUE(trouble_.lasting());
  EXPECT_EQ(Errno(), static_cast<uint64_t>(ENOSPC));
  const auto since = static_cast<int64_t>(ValueOf(counters_.disk_trouble_since_ns));
  EXPECT_LT(std::abs(WallNs() - 2 * kNsPerSecond - since), kNsPerSecond);
  AddTo(counters_.ring_drops, 5);
  AddTo(counters_.write_error_drops, 3);
  trouble_.EverySecond(kStart + kNsPerSecond);
  EXPECT_EQ(ValueOf(counters_.disk_trouble_drops), 8u);
  EXPECT_TRUE(trouble_.lasting()) << "nothing was stored";

  trouble_.Failed(EROFS, "make a file", kStart, kStart + 2 * kNsPerSecond);
  EXPECT_EQ(Errno(), static_cast<uint64_t>(EROFS)) << "the latest cause";
  trouble_.Stored(kStart + 2 * kNsPerSecond + 1);
  trouble_.EverySecond(kStart + 2 * kNsPerSecond + 2);
  EXPECT_TRUE(trouble_.lasting()) << "it failed just now";
  trouble_.EverySecond(kStart + 2 * kNsPerSecond + kDiskCalmNs);
  EXPECT_FALSE(trouble_.lasting());
  EXPECT_EQ(Errno(), 0u);
  EXPECT_EQ(ValueOf(counters_.disk_trouble_since_ns), 0u);
  EXPECT_EQ(ValueOf(counters_.disk_troubles), 1u);
  EXPECT_EQ(ValueOf(counters_.disk_trouble_drops), 8u) << "of the latest trouble";
}

TEST_F(DiskTroubleTest, AFlappingDiskIsOneTrouble) {
  int64_t now = kStart;
  for (int i = 0; i < 20; ++i, now += kNsPerSecond / 2) {
    trouble_.WriteFailed(EIO, "write", now);
    trouble_.Stored(now + 1);
    trouble_.EverySecond(now + 2);
  }
  EXPECT_EQ(ValueOf(counters_.disk_troubles), 1u);
  trouble_.EverySecond(now + kDiskCalmNs);
  EXPECT_FALSE(trouble_.lasting());
  trouble_.WriteFailed(EIO, "write", now + kDiskCalmNs + 1);
  EXPECT_EQ(ValueOf(counters_.disk_troubles), 2u);
}

TEST_F(DiskTroubleTest, AfterARefusedWriteOneIsTriedAtATimeWithPauses) {
  EXPECT_TRUE(trouble_.MayWrite(100, kStart));
  trouble_.Failed(ENOSPC, "make a file", kStart, kStart);
  EXPECT_TRUE(trouble_.MayWrite(100, kStart)) << "it is the file that is missing";
  trouble_.WriteFailed(EIO, "write", kStart);
  trouble_.WriteFailed(EIO, "write", kStart + 1);  // the same burst
  EXPECT_FALSE(trouble_.MayWrite(0, kStart + 99 * kNsPerMs));
  EXPECT_TRUE(trouble_.MayWrite(0, kStart + 100 * kNsPerMs));
  EXPECT_FALSE(trouble_.MayWrite(1, kStart + 100 * kNsPerMs));
  int64_t now = kStart;
  for (int i = 0; i < 10; ++i) trouble_.WriteFailed(EIO, "write", now += 2 * kNsPerSecond);
  EXPECT_FALSE(trouble_.MayWrite(0, now + 900 * kNsPerMs));
  EXPECT_TRUE(trouble_.MayWrite(0, now + 1000 * kNsPerMs)) << "never slower than once a second";
  trouble_.Stored(now + kNsPerSecond);
  EXPECT_TRUE(trouble_.MayWrite(100, now + kNsPerSecond));
}

}  // namespace
}  // namespace steno
