#include "storage/read_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

class ReadRingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = ReadRing::Make(8);
    if (!made) GTEST_SKIP() << made.error().message;
    ring_ = std::move(*made);
    std::iota(content_.begin(), content_.end(), 0);
    file_ = *OpenFile(directory_.path() + "/file", O_RDWR | O_CREAT);
    ASSERT_TRUE(WriteFully(file_.get(), Bytes(content_), 0, "file"));
  }
  static std::span<uint8_t> Bytes(std::vector<uint32_t>& words) {
    return {reinterpret_cast<uint8_t*>(words.data()), words.size() * sizeof(uint32_t)};
  }
  std::map<uint64_t, int> WaitFor(size_t reads) {
    std::map<uint64_t, int> ended;
    while (ended.size() < reads)
      ring_->Wait(kNsPerSecond, [&](uint64_t token, int result) { ended[token] = result; });
    return ended;
  }

  testing::TempDir directory_;
  std::vector<uint32_t> content_ = std::vector<uint32_t>(10'000);
  std::vector<uint32_t> memory_ = std::vector<uint32_t>(10'000);
  UniqueFd file_;
  std::unique_ptr<ReadRing> ring_;
};

TEST_F(ReadRingTest, ReadsManyPiecesInManyRounds) {
  for (uint64_t round = 0; round < 5; ++round) {
    std::ranges::fill(memory_, 0);
    for (uint64_t i = 0; i < 8; ++i)
      ring_->Prepare(file_.get(), Bytes(memory_).subspan(i * 5000, 5000), i * 5000, i);
    if (round % 2 == 0) ring_->Start();
    for (const auto& [token, result] : WaitFor(8)) EXPECT_EQ(result, 5000) << token;
    EXPECT_EQ(memory_, content_);
  }
}

TEST_F(ReadRingTest, TellsWhatGoesWrong) {
  ring_->Prepare(file_.get(), Bytes(memory_), 39'000, 1);
  ring_->Prepare(file_.get(), Bytes(memory_), 50'000, 2);
  ring_->Prepare(-1, Bytes(memory_), 0, 3);
  EXPECT_EQ(WaitFor(3), (std::map<uint64_t, int>{{1, 1000}, {2, 0}, {3, -EBADF}}));
}

TEST_F(ReadRingTest, AFileMayBeClosedOnceItsReadsAreStarted) {
  ring_->Prepare(file_.get(), Bytes(memory_), 0, 7);
  ring_->Start();
  file_.reset();
  EXPECT_EQ(WaitFor(1)[7], 40'000);
  EXPECT_EQ(memory_, content_);
}

// A pipe brings nothing for as long as nobody writes to it.
TEST_F(ReadRingTest, AWaitEndsWithoutARead) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd from(ends[0]);
  const UniqueFd to(ends[1]);
  ring_->Prepare(from.get(), Bytes(memory_), 0, 1);
  ring_->Wait(kNsPerMs, [](uint64_t, int) { FAIL() << "nothing was written"; });
  ASSERT_EQ(::write(to.get(), "abc", 3), 3);
  EXPECT_EQ(WaitFor(1)[1], 3);
}

TEST_F(ReadRingTest, EndsWithReadsUnderWay) {
  for (uint64_t i = 0; i < 8; ++i)
    ring_->Prepare(file_.get(), Bytes(memory_).subspan(i * 5000, 5000), i * 5000, i);
  ring_->Start();
  ring_.reset();
  EXPECT_EQ(memory_, content_) << "the kernel has done with the memory";
}

}  // namespace
}  // namespace steno
