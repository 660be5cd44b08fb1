#include "server/maintenance.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/unique_fd.h"
#include "index/sealed_index.h"
#include "query/test_store.h"
#include "server/index_rebuilder.h"
#include "server/stats_page.h"

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kTestEpochNs;
using testing::TestStore;

bool WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return condition();
}

TEST(DistinctDirectoriesTest, ThreadsMayShareADirectory) {
  const auto distinct = DistinctDirectories(
      {{"/p", "/i", 100, 10, 0, 7}, {"/q", "/j", 100, 10, 4, 0}, {"/p", "/i", 50, 20, 5, 9}});
  ASSERT_EQ(distinct.size(), 2u);
  EXPECT_EQ(distinct[0].max_files, 50u);
  EXPECT_EQ(distinct[0].disk_free_percent, 20);
  EXPECT_EQ(distinct[0].max_bytes, 5u);
  EXPECT_EQ(distinct[0].max_age_ns, 7);
  EXPECT_TRUE(distinct[0].several_writers);
  EXPECT_EQ(distinct[1].packets_directory, "/q");
  EXPECT_EQ(distinct[1].max_bytes, 4u);
  EXPECT_EQ(distinct[1].max_age_ns, 0);
  EXPECT_FALSE(distinct[1].several_writers);
}

TEST(GroupByDiskTest, DirectoriesOfOneDiskStandTogether) {
  const testing::TempDir dir;
  const auto on = [](const std::string& packets, const std::string& indexes, uint64_t name) {
    return RetentionDirectory{packets, indexes, 10, name, 0, 0, false};
  };
  const std::string memory = "/dev/shm";
  const std::string system = "/proc";
  ASSERT_EQ(GroupByDisk({on(dir.path(), dir.path(), 1), on(memory, memory, 2)}).size(), 2u)
      << "the test needs different file systems";
  const auto groups =
      GroupByDisk({on(dir.path(), dir.path(), 1), on(memory, memory, 2), on("/nowhere", "/nowhere", 3),
                   on(dir.path(), dir.path(), 4), on(system, system, 5), on(system, memory, 6)});
  std::vector<std::vector<uint64_t>> names;
  for (const auto& group : groups) {
    auto& list = names.emplace_back();
    for (const RetentionDirectory& directory : group) list.push_back(directory.max_files);
  }
  EXPECT_THAT(names, ElementsAre(ElementsAre(3), ElementsAre(1, 4), ElementsAre(2, 5, 6)));
}

TEST(MaintenanceTest, RecoversAndKeepsTheLimits) {
  TestStore data;
  for (int minute = 0; minute < 6; ++minute) data.AddFile(kTestEpochNs + minute * 60 * kNsPerSecond, 10, 80);
  // What a crash leaves: a hidden file that nobody holds.
  const std::string name = data.AddFile(kTestEpochNs + 600 * kNsPerSecond, 10, 80, /*with_index=*/false);
  const std::string final_path = data.directory().packets_directory + "/" + name;
  std::filesystem::rename(final_path, data.directory().packets_directory + "/." + name);

  Store store({data.directory()});
  ServerStats stats;
  std::atomic<int> recoveries{0};
  {
    Maintenance maintenance(
        {{data.directory().packets_directory, data.directory().index_directory, 0.001, 4, 0, 0, false}},
        store, stats, [&](const std::vector<std::string>& paths) {
          EXPECT_THAT(paths, ElementsAre(final_path));
          ++recoveries;
        });
    EXPECT_TRUE(WaitUntil([&] { return recoveries.load() == 1; }));
    EXPECT_TRUE(std::filesystem::exists(final_path));
    EXPECT_EQ(stats.recovered_files.load(), 1u);
    EXPECT_TRUE(WaitUntil([&] { return stats.aged_files.load() == 3; })) << "7 files, 4 are allowed";
    std::filesystem::rename(final_path, data.directory().packets_directory + "/." + name);
    maintenance.RequestRecovery();
    EXPECT_TRUE(WaitUntil([&] { return recoveries.load() == 2; }));
  }
  EXPECT_TRUE(std::filesystem::exists(final_path));
}

TEST(MaintenanceTest, ComesBackForFilesThatAreStillHeld) {
  TestStore data;
  const std::string name = data.AddFile(kTestEpochNs, 10, 80, /*with_index=*/false);
  const std::string final_path = data.directory().packets_directory + "/" + name;
  const std::string hidden = data.directory().packets_directory + "/." + name;
  std::filesystem::rename(final_path, hidden);
  UniqueFd held(::open(hidden.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);

  Store store({data.directory()});
  ServerStats stats;
  Maintenance maintenance(
      {{data.directory().packets_directory, data.directory().index_directory, 0.001, 4, 0, 0, false}}, store,
      stats, [](const auto&) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(std::filesystem::exists(final_path));
  held.reset();
  EXPECT_TRUE(WaitUntil([&] { return std::filesystem::exists(final_path); })) << "without being asked again";
}

TEST(IndexRebuilderTest, FindsPublishedFilesWithoutAnIndex) {
  TestStore data;
  data.AddFile(kTestEpochNs, 10, 80);
  const std::string second = data.AddFile(kTestEpochNs + kNsPerSecond, 10, 80, false);
  const std::string third = data.AddFile(kTestEpochNs + 2 * kNsPerSecond, 10, 80, false);
  std::ofstream(data.directory().packets_directory + "/.123") << "hidden";
  std::ofstream(data.directory().packets_directory + "/notes.txt") << "foreign";
  const auto all = FindUnindexed(data.directory(), WallNs(), {});
  ASSERT_TRUE(all);
  EXPECT_THAT(all->names, ElementsAre(second, third));
  EXPECT_FALSE(all->too_young);
  const auto settled = FindUnindexed(data.directory(), WallNs() - 60 * kNsPerSecond,
                                     {data.directory().packets_directory + "/" + third});
  ASSERT_TRUE(settled);
  EXPECT_THAT(settled->names, ElementsAre(third)) << "recovered: nobody else makes its index";
  EXPECT_TRUE(settled->too_young);
}

TEST(IndexRebuilderTest, RebuildsAndDoesNotRepeatFailures) {
  TestStore data;
  const std::string good = data.AddFile(kTestEpochNs, 10, 80, false);
  std::ofstream(data.directory().packets_directory + "/1767225601000000") << std::string(8192, 'x');
  ServerStats stats;
  IndexRebuilder rebuilder({data.directory()}, stats,
                           {.pause = std::chrono::milliseconds(20), .settle_ns = 0});
  EXPECT_TRUE(WaitUntil([&] { return stats.rebuilt_indexes.load() + stats.rebuild_failures.load() >= 2; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(std::filesystem::exists(data.directory().index_directory + "/" + good));
  EXPECT_LE(stats.rebuilt_indexes.load() + stats.rebuild_failures.load(), 2u);
  const std::string later = data.AddFile(kTestEpochNs + 60 * kNsPerSecond, 10, 80, false);
  EXPECT_TRUE(
      WaitUntil([&] { return std::filesystem::exists(data.directory().index_directory + "/" + later); }));
}

TEST(IndexRebuilderTest, SealsRawIndexesAndReplacesUnusableOnes) {
  TestStore data;
  const std::string raw = data.AddFile(kTestEpochNs, 10, 80);
  const std::string damaged = data.AddFile(kTestEpochNs + kNsPerSecond, 10, 80);
  const std::string good = data.AddFile(kTestEpochNs + 2 * kNsPerSecond, 10, 80);
  const auto index_path = [&](const std::string& name) {
    return data.directory().index_directory + "/" + name;
  };
  data.MakeIndexRaw(raw);
  std::ofstream(index_path(damaged)) << std::string(5000, 'x');
  std::ofstream(index_path("1")) << "whose packets are gone";

  std::set<std::string> sealed{"2"};
  const auto found = FindUnsealed(data.directory(), sealed);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->raw, ElementsAre(raw));
  EXPECT_THAT(found->unusable, ElementsAre(damaged));
  EXPECT_THAT(sealed, ElementsAre(good));

  ServerStats stats;
  IndexRebuilder rebuilder({data.directory()}, stats,
                           {.pause = std::chrono::milliseconds(20), .settle_ns = 0});
  EXPECT_TRUE(
      WaitUntil([&] { return stats.rebuilt_indexes.load() == 1 && stats.compacted_indexes.load() == 1; }));
  EXPECT_FALSE(ReadIndexSummary(index_path(raw))->raw);
  EXPECT_TRUE(ReadIndexSummary(index_path(damaged)));
  EXPECT_EQ(stats.rebuild_failures.load(), 0u);
}

TEST(IndexRebuilderTest, ReplacesTheIndexOfAnotherFile) {
  TestStore data;
  const std::string one = data.AddFile(kTestEpochNs, 10, 80);
  const std::string other = data.AddFile(kTestEpochNs + kNsPerSecond, 10, 80);
  const std::string index = data.directory().index_directory + "/";
  const uint64_t tag = ReadIndexSummary(index + one)->file_tag;
  std::filesystem::copy_file(index + other, index + one, std::filesystem::copy_options::overwrite_existing);
  ASSERT_NE(ReadIndexSummary(index + one)->file_tag, tag);
  ServerStats stats;
  IndexRebuilder rebuilder({data.directory()}, stats,
                           {.pause = std::chrono::milliseconds(20), .settle_ns = 0});
  EXPECT_TRUE(WaitUntil([&] { return stats.rebuilt_indexes.load() == 1; }));
  EXPECT_EQ(ReadIndexSummary(index + one)->file_tag, tag);
}

TEST(IndexRebuilderTest, ReadsNoMoreThanItsLimitAndStopsWhileItWaits) {
  TestStore data;
  const std::string first = data.AddFile(kTestEpochNs, 10, 80, false);
  const std::string second = data.AddFile(kTestEpochNs + kNsPerSecond, 10, 80, false);
  ServerStats stats;
  {
    // After one block nothing may be read for hours.
    IndexRebuilder rebuilder({data.directory()}, stats,
                             {.pause = std::chrono::milliseconds(20), .settle_ns = 0, .bytes_per_second = 1});
    EXPECT_TRUE(WaitUntil([&] { return stats.rebuild_waits.load() > 0; }));
  }
  EXPECT_LE(stats.rebuilt_indexes.load(), 1u);
  EXPECT_FALSE(std::filesystem::exists(data.directory().index_directory + "/" + second));
  EXPECT_EQ(stats.rebuild_failures.load(), 0u);
}

TEST(StatsPageTest, EveryLineIsANameAndAnInteger) {
  auto arena = Arena::Create(0);
  ASSERT_TRUE(arena);
  ServerStats stats;
  stats.queries_completed = 3;
  CaptureState capture;
  capture.running = true;
  capture.arenas = {std::make_shared<const Arena>(std::move(*arena))};
  capture.arenas[0]->counters().packets = 17;
  capture.arenas[0]->counters().bytes = UINT64_MAX;
  const std::string page = StatsPage(stats, {5, 1, kTestEpochNs}, {capture});
  std::istringstream lines(page);
  std::string previous;
  for (std::string line; std::getline(lines, line); previous = line) {
    EXPECT_THAT(line, ::testing::MatchesRegex("[A-Za-z0-9_]+\t-?[0-9]+"));
    EXPECT_LT(previous, line);
  }
  EXPECT_THAT(page, HasSubstr("oldest_timestamp\t1767225600000000000\n"));
  EXPECT_THAT(page, HasSubstr("current_files\t5\n"));
  EXPECT_THAT(page, HasSubstr("indexfile_current_reads\t0\n"));
  EXPECT_THAT(page, HasSubstr("http_request_query_POST_completed\t3\n"));
  EXPECT_THAT(page, HasSubstr("stenotype_thread0_packets\t17\n"));
  EXPECT_THAT(page, HasSubstr("stenotype_thread0_bytes\t9223372036854775807\n"));
}

TEST(StatsPageTest, SeveralInterfacesCountTheirThreadsOn) {
  std::vector<CaptureState> captures(2);
  for (unsigned i = 0; i < 2; ++i) {
    auto arena = Arena::Create(i);
    ASSERT_TRUE(arena);
    captures[i].interface = "em" + std::to_string(i + 1);
    captures[i].first_slot = i;
    captures[i].running = i == 0;
    captures[i].starts = i + 3;
    captures[i].arenas = {std::make_shared<const Arena>(std::move(*arena))};
    captures[i].arenas[0]->counters().packets = 100 + i;
  }
  const ServerStats stats;
  const std::string page = StatsPage(stats, {}, captures);
  EXPECT_THAT(page, HasSubstr("stenotype_thread0_packets\t100\n"));
  EXPECT_THAT(page, HasSubstr("stenotype_thread1_packets\t101\n"));
  EXPECT_THAT(page, HasSubstr("stenotype_running\t0\n"));
  EXPECT_THAT(page, HasSubstr("stenotype_starts\t7\n"));
  EXPECT_THAT(page, HasSubstr("interface_em1_running\t1\n"));
  EXPECT_THAT(page, HasSubstr("interface_em2_running\t0\n"));
  EXPECT_THAT(page, HasSubstr("interface_em2_first_thread\t1\n"));
}

}  // namespace
}  // namespace steno
