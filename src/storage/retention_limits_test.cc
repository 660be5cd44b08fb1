// Limits of age and bytes, times that are wrong, files that cannot be deleted, and what readers hold.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "base/clock.h"
#include "base/file.h"
#include "storage/retention.h"
#include "storage/retention_test.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

constexpr int64_t kHourNs = 3600 * kNsPerSecond;

class RetentionLimits : public ::testing::Test {
 protected:
  // A file whose first packet is `first` from now and whose last is `last` from now.
  void AddTimed(int64_t first_ns, int64_t last_ns) {
    const uint64_t id = Id(first_ns);
    AddFile(directory_, id, 5000);
    const int64_t ns = now_ns_ + last_ns;
    const timespec time{ns / kNsPerSecond, ns % kNsPerSecond};
    const timespec times[2] = {time, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, PathOf(id).c_str(), times, 0), 0);
  }
  [[nodiscard]] uint64_t Id(int64_t from_now_ns) const {
    return static_cast<uint64_t>((now_ns_ + from_now_ns) / kNsPerUs);
  }
  [[nodiscard]] std::string PathOf(uint64_t id) const {
    return directory_.packets_directory + "/" + std::to_string(id);
  }
  // The names that are left as times in hours from now.
  [[nodiscard]] std::vector<int64_t> Hours() const {
    std::vector<int64_t> hours;
    for (const NamedFile& file : SelectPacketFiles(*ListDirectory(directory_.packets_directory)))
      hours.push_back((static_cast<int64_t>(file.id) - now_ns_ / kNsPerUs) / 3'600'000'000);
    return hours;
  }

  using Times = std::vector<int64_t>;
  const int64_t now_ns_ = WallNs();
  testing::TempDir dir_;
  RetentionDirectory directory_ = MakeDirectory(dir_.path(), 0);
};

TEST_F(RetentionLimits, FilesGoWhenTheirLastPacketIsTooOld) {
  directory_.max_age_ns = 24 * kHourNs;
  AddTimed(-50 * kHourNs, -49 * kHourNs);
  AddTimed(-30 * kHourNs, -29 * kHourNs);  // then nothing was recorded for long
  AddTimed(-26 * kHourNs, -2 * kHourNs);   // long: not all of its packets are too old
  AddTimed(-2 * kHourNs, -kHourNs);
  const RetentionReport report = Retention({directory_}).Enforce();
  EXPECT_EQ(Hours(), (Times{-26, -2}));
  ASSERT_EQ(report.deleted.size(), 2u);
  EXPECT_EQ(report.deleted[0].cause, RetentionCause::kAge);
}

// A copy has the time of copying, but no packet after the next file's first.
TEST_F(RetentionLimits, ACopyIsNoYoungerThanItsPackets) {
  directory_.max_age_ns = 24 * kHourNs;
  AddTimed(-50 * kHourNs, 0);
  AddTimed(-40 * kHourNs, 0);
  AddTimed(-20 * kHourNs, 0);
  directory_.several_writers = true;  // the next file says nothing
  EXPECT_TRUE(Retention({directory_}).Enforce().deleted.empty());
  directory_.several_writers = false;
  Retention({directory_}).Enforce();
  EXPECT_EQ(Hours(), (Times{-40, -20}));
}

TEST_F(RetentionLimits, FilesFromTheFutureAreNotTooOld) {
  directory_.max_age_ns = 24 * kHourNs;
  AddTimed(-50 * kHourNs, -49 * kHourNs);
  AddTimed(50 * kHourNs, -49 * kHourNs);
  AddTimed(70 * kHourNs, 71 * kHourNs);
  Retention({directory_}).Enforce();
  EXPECT_EQ(Hours(), (Times{50, 70}));
}

// After the clock was set back, what is recorded from then on is younger than what has later names.
TEST_F(RetentionLimits, FilesFromTheFutureAreNoYoungerThanTheirDiscovery) {
  directory_.max_files = 3;
  Retention retention({directory_});
  AddTimed(-5 * kHourNs, -4 * kHourNs);
  AddTimed(50 * kHourNs, 51 * kHourNs);
  AddTimed(60 * kHourNs, 61 * kHourNs);
  EXPECT_TRUE(retention.Enforce().deleted.empty());
  const auto first = static_cast<uint64_t>(WallNs() / kNsPerUs);
  AddFile(directory_, first, 5000);
  EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
  AddFile(directory_, first + 1, 5000);
  EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
  EXPECT_EQ(Names(directory_), std::to_string(first) + " " + std::to_string(first + 1) + " " +
                                   std::to_string(Id(60 * kHourNs)) + " ");
  AddFile(directory_, first + 2, 5000);
  AddFile(directory_, first + 3, 5000);
  retention.Enforce();
  EXPECT_FALSE(Exists(PathOf(first))) << "then the order is that of names again";
  EXPECT_TRUE(Exists(PathOf(first + 1)));
}

TEST_F(RetentionLimits, BytesCountPacketsAndIndexes) {
  directory_.max_bytes = 3 * (8192 + 4096);
  for (uint64_t id = 1; id <= 5; ++id) AddFile(directory_, id, 8192, 4096);
  WriteTestFile(directory_.packets_directory + "/.6", std::vector<uint8_t>(100'000));
  WriteTestFile(directory_.packets_directory + "/notes", std::vector<uint8_t>(100'000));
  Retention retention({directory_});
  const RetentionReport report = retention.Enforce();
  ASSERT_EQ(report.deleted.size(), 2u);
  EXPECT_EQ(report.deleted[1].cause, RetentionCause::kBytes);
  EXPECT_EQ(report.deleted[1].path, PathOf(2));
  EXPECT_EQ(report.deleted[1].bytes, 8192u + 4096);
  AddFile(directory_, 6, 4096, 4096);  // of 36 KiB, 8 too many
  EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
  // An index that was replaced by a larger one.
  const std::string index = directory_.index_directory + "/5";
  WriteTestFile(index + ".new", std::vector<uint8_t>(16384));
  ASSERT_TRUE(RenameFile(index + ".new", index));
  EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
  EXPECT_TRUE(Exists(PathOf(5)));
  EXPECT_TRUE(Exists(PathOf(6)));
}

TEST_F(RetentionLimits, ALimitOfBytesMayComeLater) {
  for (uint64_t id = 1; id <= 5; ++id) AddFile(directory_, id, 8192, 4096);
  Retention retention({directory_});
  for (int pass = 0; pass < 2; ++pass) EXPECT_TRUE(retention.Enforce().deleted.empty());
  ::usleep(100'000);  // until a listing is as good as the directory's time
  EXPECT_TRUE(retention.Enforce().deleted.empty());
  directory_.max_bytes = 2 * 12288;
  retention.TakeLimits({directory_});
  EXPECT_EQ(retention.Enforce().deleted.size(), 3u);
  EXPECT_EQ(Names(directory_), "4 5 ");
}

TEST_F(RetentionLimits, ExplainingChangesNothing) {
  directory_.max_files = 3;
  directory_.max_bytes = 2 * 12288;
  for (uint64_t id = 1; id <= 5; ++id) AddFile(directory_, id, 8192, 4096);
  const RetentionPlan plan = Retention::Explain({directory_});
  EXPECT_EQ(ListDirectory(directory_.packets_directory)->size(), 5u);
  EXPECT_EQ(ListDirectory(directory_.index_directory)->size(), 5u);
  ASSERT_EQ(plan.states.size(), 1u);
  EXPECT_EQ(plan.states[0].files, 5u);
  EXPECT_EQ(plan.states[0].bytes, 5 * 12288u);
  EXPECT_EQ(plan.states[0].oldest_ns, 1000);
  ASSERT_EQ(plan.report.deleted.size(), 3u);
  EXPECT_EQ(plan.report.deleted[0].path, PathOf(1));
  EXPECT_EQ(plan.report.deleted[1].cause, RetentionCause::kFiles);
  EXPECT_EQ(plan.report.deleted[2].cause, RetentionCause::kBytes);
  const RetentionReport done = Retention({directory_}).Enforce();
  ASSERT_EQ(done.deleted.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(done.deleted[i].path, plan.report.deleted[i].path);
    EXPECT_EQ(done.deleted[i].bytes, plan.report.deleted[i].bytes);
  }
}

// On a disk of 40 MiB of which 50 % are to be free, with files of 2 MiB.
class RetentionReaders : public ::testing::Test {
 protected:
  void Start() {
    directory_ = MakeDirectory(dir_.path(), 50);
    for (uint64_t id = 1; id <= 9; ++id) AddFile(directory_, id, 2 * kMiB);
  }
  [[nodiscard]] UniqueFd Hold(uint64_t id) const {
    return *OpenFile(directory_.packets_directory + "/" + std::to_string(id), O_RDONLY);
  }
  // Somebody else's, in steps of a file.
  void Take(uint64_t mib) { WriteTestFile(dir_.path() + "/other", std::vector<uint8_t>(mib * kMiB)); }
  [[nodiscard]] uint64_t FreeMib() const { return MeasureSpace(dir_.path())->free_bytes / kMiB; }

  testing::TempDir dir_;
  RetentionDirectory directory_;
};

TEST_F(RetentionReaders, HoldSpaceForAsLongAsTheyReadWithoutCostingHistory) {
  const bool ran = OnSmallDisk(dir_.path(), 40, [this] {
    Start();
    std::optional<UniqueFd> reader = Hold(1);
    Retention retention({directory_});
    Take(3);
    EXPECT_EQ(retention.Enforce().deleted.size(), 1u);
    for (int pass = 0; pass < 3; ++pass) {
      const RetentionReport report = retention.Enforce();
      EXPECT_TRUE(report.deleted.empty());
      EXPECT_EQ(report.held_files, 1u);
      EXPECT_EQ(report.held_bytes, 2 * kMiB);
    }
    const uint64_t held = FreeMib();
    std::vector<uint8_t> bytes(2 * kMiB);
    EXPECT_TRUE(ReadFully(reader->get(), bytes, 0, "held file"));
    reader.reset();
    const RetentionReport report = retention.Enforce();
    EXPECT_EQ(report.held_files, 0u);
    EXPECT_TRUE(report.deleted.empty());
    EXPECT_EQ(FreeMib(), held + 2);
    EXPECT_EQ(Names(directory_), "2 3 4 5 6 7 8 9 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST_F(RetentionReaders, AreCutWhereSpaceIsScarceBeforeMoreHistoryGoes) {
  const bool ran = OnSmallDisk(dir_.path(), 40, [this] {
    Start();
    std::vector<UniqueFd> readers;
    for (uint64_t id = 1; id <= 6; ++id) readers.push_back(Hold(id));
    Retention retention({directory_});
    Take(13);  // 9 MiB are free, 20 are to be, 10 must be
    RetentionReport report = retention.Enforce();
    EXPECT_EQ(report.deleted.size(), 6u);
    EXPECT_EQ(report.cut.size(), 1u);
    EXPECT_EQ(report.held_files, 5u);
    std::vector<uint8_t> bytes(2 * kMiB);
    EXPECT_FALSE(ReadFully(readers[0].get(), bytes, 0, "cut file"));
    EXPECT_TRUE(ReadFully(readers[1].get(), bytes, 0, "held file"));
    Take(15);
    report = retention.Enforce();
    EXPECT_EQ(report.cut.size(), 1u);
    EXPECT_EQ(report.deleted.size(), 1u) << "which nobody reads";
    EXPECT_EQ(FreeMib(), 12u);
    EXPECT_EQ(Names(directory_), "8 9 ");
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

}  // namespace
}  // namespace steno
