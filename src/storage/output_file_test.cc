#include "storage/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mapping.h"
#include "storage/file_names.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct stat StatOf(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info;
}

bool IsLocked(const std::string& path) {
  const auto fd = OpenFile(path, O_RDONLY);
  return ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0;
}

TEST(OutputFile, IsPreparedHiddenLockedAndAllocated) {
  const testing::TempDir dir;
  const auto file = PrepareFile(dir.path(), 3 * kMiB, kMiB);
  ASSERT_TRUE(file) << file.error().message;
  const std::string path = dir.path() + "/" + file->hidden_name;
  EXPECT_TRUE(IsHiddenPacketFileName(file->hidden_name));
  EXPECT_EQ(file->allocated_bytes, 3 * kMiB);
  const auto info = StatOf(path);
  EXPECT_EQ(info.st_size, static_cast<off_t>(3 * kMiB)) << "not FALLOC_FL_KEEP_SIZE";
  EXPECT_GE(info.st_blocks * 512, static_cast<off_t>(3 * kMiB));
  EXPECT_EQ(info.st_mode & 0777 & ~0640u, 0u);
  EXPECT_TRUE(IsLocked(path));
  EXPECT_EQ((::fcntl(file->fd.get(), F_GETFL) & O_DIRECT) != 0, file->direct);
}

TEST(OutputFile, EachHasItsOwnNameAndTag) {
  const testing::TempDir dir;
  const auto a = PrepareFile(dir.path(), 4096, 4096);
  const auto b = PrepareFile(dir.path(), 4096, 4096);
  ASSERT_TRUE(a && b);
  EXPECT_NE(a->hidden_name, b->hidden_name);
  EXPECT_NE(a->file_tag, b->file_tag);
}

TEST(OutputFile, SizesAreRoundedUpToTheAlignment) {
  const testing::TempDir dir;
  EXPECT_EQ(PrepareFile(dir.path(), 5000, 1)->allocated_bytes, 8192u);
  EXPECT_EQ(PrepareFile(dir.path(), 0, 0)->allocated_bytes, 4096u);
  EXPECT_EQ(PrepareFile(dir.path(), 4096, 10'000)->allocated_bytes, 12'288u);
}

TEST(OutputFile, PublishingGivesTheTailBackAndTheFinalName) {
  const testing::TempDir dir;
  auto file = PrepareFile(dir.path(), 4 * kMiB, kMiB);
  ASSERT_TRUE(file);
  const std::string hidden = dir.path() + "/" + file->hidden_name;
  const auto page = Mapping::Anonymous(4096);
  page->data()[0] = 42;
  ASSERT_TRUE(WriteFully(file->fd.get(), page->bytes(), 0, hidden));
  const auto name = PublishFile(std::move(*file), 1234567, 4096);
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(*name, "1234567");
  EXPECT_FALSE(Exists(hidden));
  const std::string path = dir.path() + "/1234567";
  EXPECT_EQ(StatOf(path).st_size, 4096);
  EXPECT_LE(StatOf(path).st_blocks * 512, 8192);
  EXPECT_EQ(ReadTestFile(path)[0], 42);
  EXPECT_FALSE(IsLocked(path));
}

TEST(OutputFile, PublishingNeverReplacesAFile) {
  const testing::TempDir dir;
  WriteTestFile(dir.path() + "/1000", {1});
  WriteTestFile(dir.path() + "/1001", {2});
  auto file = PrepareFile(dir.path(), 4096, 4096);
  ASSERT_TRUE(file);
  const auto name = PublishFile(std::move(*file), 1000, 4096);
  ASSERT_TRUE(name);
  EXPECT_EQ(*name, "1002");
  EXPECT_EQ(ReadTestFile(dir.path() + "/1000"), (std::vector<uint8_t>{1}));
  EXPECT_EQ(ReadTestFile(dir.path() + "/1001"), (std::vector<uint8_t>{2}));
}

TEST(OutputFile, PublishingAFileThatIsGoneIsAnError) {
  const testing::TempDir dir;
  auto file = PrepareFile(dir.path(), 4096, 4096);
  ASSERT_TRUE(file);
  ASSERT_EQ(::unlink((dir.path() + "/" + file->hidden_name).c_str()), 0);
  const auto name = PublishFile(std::move(*file), 1000, 4096);
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().sys_errno, ENOENT);
}

TEST(OutputFile, DiscardingRemovesIt) {
  const testing::TempDir dir;
  auto file = PrepareFile(dir.path(), 4096, 4096);
  ASSERT_TRUE(file);
  const std::string hidden = dir.path() + "/" + file->hidden_name;
  ASSERT_TRUE(DiscardFile(std::move(*file)));
  EXPECT_FALSE(Exists(hidden));
}

TEST(OutputFile, AMissingDirectoryIsAnError) {
  const testing::TempDir dir;
  const auto file = PrepareFile(dir.path() + "/gone", 4096, 4096);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_EQ(file.error().sys_errno, ENOENT);
}

TEST(OutputFile, AFullDiskGivesSmallerFilesAndThenAnError) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 10, [&] {
    auto first = PrepareFile(dir.path(), 32 * kMiB, kMiB);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->allocated_bytes, 8 * kMiB);
    auto second = PrepareFile(dir.path(), 32 * kMiB, kMiB);
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_GE(second->allocated_bytes, kMiB);
    EXPECT_LE(second->allocated_bytes, 2 * kMiB);
    std::vector<OutputFile> rest;
    for (;;) {
      auto file = PrepareFile(dir.path(), 32 * kMiB, kMiB);
      if (!file) {
        EXPECT_EQ(file.error().code, ErrorCode::kIo);
        EXPECT_EQ(file.error().sys_errno, ENOSPC);
        break;
      }
      rest.push_back(std::move(*file));
      ASSERT_LT(rest.size(), 10u);
    }
    // The failure left nothing behind.
    EXPECT_EQ(ListDirectory(dir.path())->size(), 2 + rest.size());
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(OutputFile, AFileSizeLimitGivesSmallerFiles) {
  const testing::TempDir dir;
  InChild([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{3 * kMiB, 3 * kMiB};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    const auto file = PrepareFile(dir.path(), 16 * kMiB, kMiB);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->allocated_bytes, 2 * kMiB);
  });
}

TEST(FileNames, OnlyPlainNumbersAreNames) {
  for (const char* name : {"1", "1700000000000000", "9223372036854775807"})
    EXPECT_TRUE(IsPacketFileName(name)) << name;
  for (const char* name : {"", "0", "01", "-1", "+1", " 1", "1 ", "1.5", "1a", "9223372036854775808",
                           "99999999999999999999", ".1", "lost+found"}) {
    EXPECT_FALSE(IsPacketFileName(name)) << name;
  }
  EXPECT_TRUE(IsHiddenPacketFileName(".1700000000000000"));
  for (const char* name : {".", "..", "1", "..1", ".1.tmp", ".bashrc"})
    EXPECT_FALSE(IsHiddenPacketFileName(name)) << name;
}

TEST(FileNames, AreOrderedAsNumbers) {
  const auto files = SelectPacketFiles({"10", "9", ".8", "x", "100", "1"});
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(files[0].name, "1");
  EXPECT_EQ(files[1].name, "9");
  EXPECT_EQ(files[2].name, "10");
  EXPECT_EQ(files[3].name, "100");
}

TEST(FileNames, OrphanIndexesAreOlderThanTheNewestPacketFile) {
  const auto names = [](const std::vector<std::string>& packets, const std::vector<std::string>& indexes) {
    std::string text;
    for (const NamedFile& file : FindOrphanIndexes(SelectPacketFiles(packets), SelectPacketFiles(indexes))) {
      text += file.name + " ";
    }
    return text;
  };
  EXPECT_EQ(names({"5", "7", "9"}, {"1", "5", "6", "7", "9", "10"}), "1 6 ");
  EXPECT_EQ(names({}, {"1", "2"}), "") << "an unmounted packets directory must not cost the indexes";
}

}  // namespace
}  // namespace steno
