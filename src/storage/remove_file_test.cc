#include "storage/remove_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/file.h"
#include "storage/free_space.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kStepMiB = kRemovalStepBytes / kMiB;

void MakeFile(const std::string& path, uint64_t bytes) {
  const auto fd = OpenFile(path, O_WRONLY | O_CREAT);
  ASSERT_TRUE(fd) << fd.error().message;
  ASSERT_EQ(::fallocate(fd->get(), 0, 0, static_cast<off_t>(bytes)), 0);
  ASSERT_TRUE(WriteFully(fd->get(), std::vector<uint8_t>{1, 2, 3}, bytes - 3, path));
}

class RemoveFileTest : public ::testing::Test {
 protected:
  // The space that is free at each pause of removing a file of three and a half steps on a disk of four.
  void Remove() {
    const auto removed = RemoveFile(path_, [this] { free_mib_.push_back(FreeMib()); });
    ASSERT_TRUE(removed) << removed.error().message;
    EXPECT_EQ(removed->bytes, kBytes);
    EXPECT_FALSE(Exists(path_));
  }
  [[nodiscard]] uint64_t FreeMib() const { return MeasureSpace(dir_.path())->free_bytes / kMiB; }

  static constexpr uint64_t kBytes = 7 * kRemovalStepBytes / 2;
  static constexpr unsigned kDiskMib = 4 * kStepMiB;
  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/1";
  std::vector<uint64_t> free_mib_;
};

#define ON_SMALL_DISK(...) \
  if (!OnSmallDisk(dir_.path(), kDiskMib, __VA_ARGS__)) GTEST_SKIP() << "no mount namespaces here"

TEST_F(RemoveFileTest, GivesALargeFilesSpaceBackInSteps) {
  ON_SMALL_DISK([this] {
    MakeFile(path_, kBytes);
    const uint64_t before = FreeMib();
    Remove();
    EXPECT_EQ(free_mib_, (std::vector{before + kStepMiB, before + 2 * kStepMiB, before + 3 * kStepMiB}));
    EXPECT_EQ(FreeMib(), before + kBytes / kMiB) << "all of it in the end";
  });
}

TEST_F(RemoveFileTest, DoesNotCutWhatSomebodyReads) {
  ON_SMALL_DISK([this] {
    MakeFile(path_, kBytes);
    const uint64_t before = FreeMib();
    auto reader = OpenFile(path_, O_RDONLY);
    Remove();
    EXPECT_TRUE(free_mib_.empty());
    EXPECT_EQ(FreeMib(), before);
    EXPECT_EQ(*FileSize(reader->get(), path_), kBytes);
    std::vector<uint8_t> end(3);
    ASSERT_TRUE(ReadFully(reader->get(), end, kBytes - 3, path_));
    EXPECT_EQ(end, (std::vector<uint8_t>{1, 2, 3}));
    EXPECT_TRUE(LostItsName(reader->get(), path_));
    reader->reset();
    EXPECT_EQ(FreeMib(), before + kBytes / kMiB) << "freed by its last reader";
  });
}

TEST_F(RemoveFileTest, DoesNotCutWhatHasAnotherName) {
  ON_SMALL_DISK([this] {
    MakeFile(path_, kBytes);
    const std::string kept = dir_.path() + "/evidence";
    ASSERT_EQ(::link(path_.c_str(), kept.c_str()), 0);
    const auto removed = RemoveFile(path_, [this] { free_mib_.push_back(0); });
    ASSERT_TRUE(removed);
    EXPECT_FALSE(removed->last_name);
    EXPECT_TRUE(free_mib_.empty());
    const auto reader = OpenFile(kept, O_RDONLY);
    EXPECT_EQ(*FileSize(reader->get(), kept), kBytes);
    EXPECT_FALSE(LostItsName(reader->get(), kept));
  });
}

// Somebody who was about to open the file when it lost its name waits for the lease: it ends the steps.
TEST_F(RemoveFileTest, StopsCuttingWhenSomebodyComesInTheLastMoment) {
  ON_SMALL_DISK([this] {
    MakeFile(path_, kBytes);
    const int holder = ::open(path_.c_str(), O_PATH | O_CLOEXEC);  // what a path walk holds
    const std::string again = "/proc/self/fd/" + std::to_string(holder);
    std::vector<int> late;
    const auto removed = RemoveFile(path_, [&] {
      const int fd = ::open(again.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
      late.push_back(fd < 0 ? -errno : fd);
    });
    ASSERT_TRUE(removed);
    EXPECT_EQ(late, std::vector{-EWOULDBLOCK}) << "one step, then it was noticed";
    const auto reader = OpenFile(again, O_RDONLY);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ(*FileSize(reader->get(), again), kBytes - kRemovalStepBytes);
    EXPECT_TRUE(LostItsName(reader->get(), path_)) << "which tells the reader why";
    ::close(holder);
  });
}

TEST_F(RemoveFileTest, SmallFilesGoAtOnceAndOtherThingsStay) {
  WriteTestFile(path_, std::vector<uint8_t>(5000));
  const auto removed = RemoveFile(path_, [] { FAIL() << "a pause"; });
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->bytes, 8192u);
  const auto gone = RemoveFile(path_, [] {});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().sys_errno, ENOENT);
  const auto directory = RemoveFile(dir_.path(), [] {});
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace steno
