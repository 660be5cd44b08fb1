#include "storage/retention.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "storage/retention_test.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

TEST(Retention, LimitsTheNumberOfFiles) {
  const testing::TempDir dir;
  const auto directory = MakeDirectory(dir.path(), 0, 3);
  for (const uint64_t id : {5, 10, 9, 100, 99}) AddFile(directory, id, 5000);
  Retention retention({directory});
  const RetentionReport report = retention.Enforce();
  EXPECT_EQ(Names(directory), "10 99 100 ");
  EXPECT_EQ(report.deleted.size(), 2u);
  EXPECT_GE(report.bytes_deleted, 2 * 5000u);
  EXPECT_TRUE(report.satisfied());
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(retention.Enforce().deleted.size(), 0u);
}

TEST(Retention, DeletesAsMuchAsNeededAndNotMore) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 20, [&] {
    const auto directory = MakeDirectory(dir.path(), 29);
    for (uint64_t id = 1; id <= 9; ++id) AddFile(directory, id, 2 * kMiB);  // 18 MiB: 10 % free
    Retention retention({directory});
    const RetentionReport report = retention.Enforce();
    EXPECT_EQ(Names(directory), "3 4 5 6 7 8 9 ") << "14 MiB and the pages of the indexes";
    EXPECT_EQ(report.deleted.size(), 2u);
    EXPECT_TRUE(report.satisfied());
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

// Threads on one disk lose the same time, whatever their amount of traffic.
TEST(Retention, TakesTheOldestOfAllDirectoriesOfADisk) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 20, [&] {
    const auto a = MakeDirectory(dir.path() + "/a", 50);
    const auto b = MakeDirectory(dir.path() + "/b", 50);
    for (const uint64_t id : {10, 30, 50, 70, 90}) AddFile(a, id, 3 * kMiB);
    for (const uint64_t id : {20, 40, 60, 80}) AddFile(b, id, kMiB / 2);
    Retention retention({a, b});
    EXPECT_TRUE(retention.Enforce().satisfied());
    EXPECT_EQ(Names(a), "70 90 ");
    EXPECT_EQ(Names(b), "60 80 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(Retention, LeavesDirectoriesWhoseLimitHolds) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 20, [&] {
    const auto strict = MakeDirectory(dir.path() + "/strict", 44);
    const auto lax = MakeDirectory(dir.path() + "/lax", 5);
    for (const uint64_t id : {10, 20, 30}) AddFile(lax, id, kMiB);
    for (const uint64_t id : {40, 50, 60}) AddFile(strict, id, 4 * kMiB);
    Retention retention({strict, lax});
    EXPECT_TRUE(retention.Enforce().satisfied());
    EXPECT_EQ(Names(strict), "50 60 ");
    EXPECT_EQ(Names(lax), "10 20 30 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(Retention, KeepsTheIndexDisksLimitToo) {
  const testing::TempDir dir;
  const std::string index_disk = dir.Make("index-disk");
  const bool ran = OnSmallDisk(index_disk, 10, [&] {
    auto directory = MakeDirectory(dir.path(), 1);
    directory.index_directory = index_disk;
    directory.disk_free_percent = 0;
    for (uint64_t id = 1; id <= 4; ++id) AddFile(directory, id, 10, 2 * kMiB);
    EXPECT_EQ(Retention({directory}).Enforce().deleted.size(), 0u);
    // Above what the packets' disk is short of anyway this would delete all.
    directory.disk_free_percent = 30;
    struct stat info{};
    ASSERT_EQ(::stat(directory.packets_directory.c_str(), &info), 0);
    const auto space = MeasureSpace(directory.packets_directory);
    ASSERT_TRUE(space);
    if (space->free_bytes < space->total_bytes * 30 / 100) return;
    EXPECT_TRUE(Retention({directory}).Enforce().satisfied());
    EXPECT_EQ(Names(directory), "2 3 4 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(Retention, SaysWhenThereIsNothingLeftToDelete) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 10, [&] {
    const auto directory = MakeDirectory(dir.path(), 50);
    AddFile(directory, 1, kMiB);
    WriteTestFile(dir.path() + "/other", std::vector<uint8_t>(7 * kMiB));
    const RetentionReport report = Retention({directory}).Enforce();
    EXPECT_FALSE(report.satisfied());
    EXPECT_EQ(report.deleted.size(), 1u);
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(Retention, NeverTouchesHiddenAndForeignNames) {
  const testing::TempDir dir;
  const auto directory = MakeDirectory(dir.path(), 100, 0);
  for (const char* name : {".5", "notes", "5.bak", "05", "lost+found"}) {
    WriteTestFile(directory.packets_directory + "/" + name, {1});
    WriteTestFile(directory.index_directory + "/" + name, {1});
  }
  std::filesystem::create_directory(directory.packets_directory + "/77");
  AddFile(directory, 6, 10);
  const RetentionReport report = Retention({directory}).Enforce();
  EXPECT_EQ(report.deleted.size(), 1u);
  EXPECT_FALSE(report.satisfied()) << "100 % free is not to be had";
  EXPECT_EQ(ListDirectory(directory.packets_directory)->size(), 6u);
  EXPECT_EQ(ListDirectory(directory.index_directory)->size(), 5u);
}

TEST(Retention, RemovesIndexesThatLostTheirPackets) {
  const testing::TempDir dir;
  const auto directory = MakeDirectory(dir.path(), 0);
  for (const uint64_t id : {10, 20, 30}) AddFile(directory, id, 10);
  ASSERT_EQ(::unlink((directory.packets_directory + "/20").c_str()), 0);
  WriteTestFile(directory.index_directory + "/5", {1});
  for (const char* name : {"20", "5"}) MakeOld(directory.index_directory + "/" + name);
  Retention({directory}).Enforce();
  EXPECT_EQ(Names(directory), "10 30 ");
  // Not one whose packet file, read from an old capture, is just being published.
  WriteTestFile(directory.index_directory + "/7", {1});
  Retention({directory}).Enforce();
  EXPECT_TRUE(Exists(directory.index_directory + "/7"));
}

TEST(Retention, GoesOnAfterFailures) {
  const testing::TempDir dir;
  const auto good = MakeDirectory(dir.path() + "/good", 0, 1);
  const auto gone = RetentionDirectory{dir.path() + "/x", dir.path() + "/y", 0, 1, 0, 0, false};
  for (const uint64_t id : {1, 2, 3}) AddFile(good, id, 10);
  const RetentionReport report = Retention({gone, good}).Enforce();
  EXPECT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.deleted.size(), 2u);
  EXPECT_EQ(Names(good), "3 ");
}

TEST(Retention, AReaderKeepsWhatItHasOpen) {
  const testing::TempDir dir;
  const auto directory = MakeDirectory(dir.path(), 0, 0);
  AddFile(directory, 1, 5000);
  const auto fd = OpenFile(directory.packets_directory + "/1", O_RDONLY);
  EXPECT_EQ(Retention({directory}).Enforce().deleted.size(), 1u);
  std::vector<uint8_t> bytes(5000);
  EXPECT_TRUE(ReadFully(fd->get(), bytes, 0, "open file"));
}

// The space of a file that a reader holds is not free: one file after the other would be deleted for it.
TEST(Retention, DoesNotDeleteOnForSpaceThatAReaderHolds) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 20, [&] {
    const auto directory = MakeDirectory(dir.path(), 29);
    for (uint64_t id = 1; id <= 8; ++id) AddFile(directory, id, 2 * kMiB);
    const auto held = OpenFile(directory.packets_directory + "/1", O_RDONLY);
    Retention retention({directory});
    EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
    EXPECT_EQ(retention.Enforce().deleted.size(), 0u) << "the next pass knows it too";
    EXPECT_EQ(Names(directory), "2 3 4 5 6 7 8 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(Retention, IsQuickWithManyFiles) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 64, [&] {
    const auto directory = MakeDirectory(dir.path(), 0, 29'000);
    for (uint64_t id = 1; id <= 30'000; ++id) {
      const std::string path = directory.packets_directory + "/" + std::to_string(1'700'000'000'000'000 + id);
      ::close(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    Retention retention({directory});
    int64_t start = ThreadCpuNs();
    EXPECT_EQ(retention.Enforce().deleted.size(), 1000u);
    EXPECT_LT(ThreadCpuNs() - start, 5 * kNsPerSecond);
    start = ThreadCpuNs();
    EXPECT_EQ(retention.Enforce().deleted.size(), 0u);
    EXPECT_LT(ThreadCpuNs() - start, kNsPerSecond) << "a pass with nothing to do";
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(FreeSpace, CreditsWhatIsNotFreeYet) {
  FreeSpace space;
  space.Measured({1000, 50}, 0);
  EXPECT_DOUBLE_EQ(space.free_percent(), 5);
  space.Deleted(100, 0);
  EXPECT_DOUBLE_EQ(space.free_percent(), 15);
  space.Measured({1000, 90}, 1);  // 40 of it has come
  EXPECT_DOUBLE_EQ(space.free_percent(), 15);
  space.Measured({1000, 70}, 2);  // a writer took 20
  EXPECT_DOUBLE_EQ(space.free_percent(), 13);
  space.Measured({1000, 70}, FreeSpace::kCreditNs);  // the rest never came
  EXPECT_DOUBLE_EQ(space.free_percent(), 7);
}

TEST(FreeSpace, BelievesInCreditsForASecondWhereSpaceIsScarce) {
  FreeSpace space;
  space.SetScarce(5);
  space.Measured({1000, 49}, 0);
  EXPECT_TRUE(space.scarce());
  space.Deleted(500, 0);
  space.Measured({1000, 49}, FreeSpace::kShortCreditNs - 1);
  EXPECT_DOUBLE_EQ(space.free_percent(), 54.9);
  space.Measured({1000, 49}, FreeSpace::kShortCreditNs);
  EXPECT_DOUBLE_EQ(space.free_percent(), 4.9);
  space.Measured({1000, 50}, FreeSpace::kShortCreditNs);
  EXPECT_FALSE(space.scarce());
}

TEST(FreeSpace, CountsWhatReadersHoldForAsLongAsTheyDo) {
  FreeSpace space;
  space.Measured({1000, 50}, 0);
  space.SetHeld(100);
  space.Measured({1000, 50}, 100 * FreeSpace::kCreditNs);
  EXPECT_DOUBLE_EQ(space.free_percent(), 15);
  space.SetHeld(0);
  EXPECT_DOUBLE_EQ(space.free_percent(), 5);
}

TEST(FreeSpace, AQuotaIsNoPromise) {
  const auto expect = [](const SpaceMeasure& measure, uint64_t total, uint64_t free, bool quota) {
    EXPECT_EQ(measure.total_bytes, total);
    EXPECT_EQ(measure.free_bytes, free);
    EXPECT_EQ(measure.quota, quota);
  };
  expect(WithinQuota({100, 70}, {1000, 500}), 100, 70, true);
  expect(WithinQuota({100, 70}, {1000, 30}), 100, 30, true);
  expect(WithinQuota({1000, 500}, {1000, 500}), 1000, 500, false);
}

TEST(FreeSpace, MeasuresAsDfDoes) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 8, [&] {
    WriteTestFile(dir.path() + "/x", std::vector<uint8_t>(2 * kMiB));
    const auto space = MeasureSpace(dir.path());
    ASSERT_TRUE(space);
    EXPECT_EQ(space->total_bytes, 8 * kMiB);
    EXPECT_EQ(space->free_bytes, 6 * kMiB);
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
  EXPECT_FALSE(MeasureSpace(dir.path() + "/gone"));
}

}  // namespace
}  // namespace steno
