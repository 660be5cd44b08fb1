#include "query/read_ahead.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <stop_token>
#include <thread>

#include "base/file.h"
#include "query/read_governor.h"
#include "query/store_builder_test.h"
#include "query/test_store.h"

namespace steno {
namespace {

using namespace steno::testing;

constexpr uint64_t kMiB = 1 << 20;

// Takes the file's pages out of the page cache; false where the file system keeps them.
bool DropFromCache(const std::string& path) {
  const UniqueFd fd = *OpenFile(path, O_RDWR);
  ::fsync(fd.get());
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  const Mapping mapping = *Mapping::Shared(fd.get(), kDiskAlignment, false);
  unsigned char resident = 0;
  return ::mincore(mapping.data(), 1, &resident) == 0 && (resident & 1) == 0;
}

QueryOptions WithCachedBytes(uint64_t bytes) {
  QueryOptions options;
  options.cached_bytes = bytes;
  return options;
}

bool TakesDirectReads(const std::string& path) { return PacketFile::Open(path)->DirectFd() >= 0; }

// Makes a system call fail in this thread, where the third argument has one of `bits` (0: always).
void RefuseCall(uint32_t call, uint32_t bits, uint32_t error) {
  const std::array<sock_filter, 6> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | (bits == 0 ? BPF_JGE : BPF_JSET) | BPF_K, bits, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{static_cast<uint16_t>(program.size()), const_cast<sock_filter*>(program.data())};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

// Over a file of more blocks than may be read ahead, each of about a MiB, none in the page cache.
class ReadAheadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ =
        store_.directory().packets_directory + "/" + store_.AddFile(kTestEpochNs, 24'000, 80, false, 1000);
    Reopen();
    const BlockTable table = *file_->WalkBlocks();
    for (const BlockEntry& block : table.blocks) units_.push_back(WholeBlock(block));
    ASSERT_GT(units_.size(), 20u);
    if (!DropFromCache(path_)) GTEST_SKIP() << "the file system keeps its pages";
    if (!TakesDirectReads(path_)) GTEST_SKIP() << "the file system takes no direct reads";
  }

  void Reopen() { file_ = std::make_unique<PacketFile>(*PacketFile::Open(path_)); }
  ReadAhead Make() { return {options_, pool_, stats_}; }

  // What Take() gives for the unit; empty if it is nothing.
  std::vector<uint8_t> Take(ReadAhead& ahead, const ReadUnit& unit) {
    Result<std::optional<Buffer>> got = ahead.Take(*file_, unit);
    EXPECT_TRUE(got);
    if (!got || !*got) return {};
    return {(*got)->data(), (*got)->data() + (unit.read_end - unit.read_begin)};
  }
  std::vector<uint8_t> Content(const ReadUnit& unit) const {
    std::vector<uint8_t> bytes(unit.read_end - unit.read_begin);
    EXPECT_TRUE(file_->Read(bytes, unit.read_begin));
    return bytes;
  }

  TestStore store_;
  std::string path_;
  std::unique_ptr<PacketFile> file_;
  std::vector<ReadUnit> units_;
  QueryOptions options_ = WithCachedBytes(0);
  QueryStats stats_;
  BufferPool pool_;
};

TEST_F(ReadAheadTest, GivesWhatIsInTheFileInAnyOrder) {
  ReadAhead ahead = Make();
  for (size_t i = 0; i < 6; ++i) ASSERT_TRUE(ahead.Begin(*file_, units_[i])) << i;
  ahead.Start();
  for (const size_t i : {3, 0, 5, 1, 2, 4}) EXPECT_EQ(Take(ahead, units_[i]), Content(units_[i])) << i;
  EXPECT_TRUE(Take(ahead, units_[0]).empty()) << "taken already";
  EXPECT_TRUE(Take(ahead, units_[7]).empty()) << "never begun";
  EXPECT_GT(stats_.bytes_read_direct, 5 * kMiB);
  EXPECT_EQ(stats_.direct_reads_refused, 0u);
}

// Whatever Take() waits for needs no Start().
TEST_F(ReadAheadTest, AReadThatWasNotStartedIsStartedByItsWait) {
  ReadAhead ahead = Make();
  ASSERT_TRUE(ahead.Begin(*file_, units_[2]));
  EXPECT_EQ(Take(ahead, units_[2]), Content(units_[2]));
}

TEST_F(ReadAheadTest, LeavesTheCacheWhatIsForIt) {
  ReadAhead ahead = Make();
  ReadUnit part = units_[0];
  part.read_end -= kDiskAlignment;
  EXPECT_FALSE(ahead.Begin(*file_, part)) << "part of a block";
  ReadUnit small = units_[1];
  small.read_end = small.block_end = small.read_begin + ReadAhead::kMinBytes - 1;
  EXPECT_FALSE(ahead.Begin(*file_, small)) << "a small block";
  ReadUnit unaligned = units_[2];
  unaligned.read_begin = unaligned.block_begin += 512;
  EXPECT_FALSE(ahead.Begin(*file_, unaligned)) << "a block where no writer puts one";
  ReadUnit impossible = units_[2];
  impossible.read_end = impossible.block_end = impossible.read_begin + kMaxBlockBytes + 1;
  EXPECT_FALSE(ahead.Begin(*file_, impossible)) << "larger than a block can be";
  Content(units_[3]);
  EXPECT_FALSE(ahead.Begin(*file_, units_[3])) << "in the cache";
  EXPECT_EQ(stats_.direct_reads_refused + stats_.direct_reads_without_room, 0u);
}

TEST_F(ReadAheadTest, LeavesTheFirstBlocksOfAQueryToTheCache) {
  options_.cached_bytes = 2 * kMiB;
  ReadAhead ahead = Make();
  size_t left = 0;
  while (!ahead.Begin(*file_, units_[left])) ASSERT_LT(++left, 5u);
  EXPECT_GE(left, 2u);
}

TEST_F(ReadAheadTest, AFileMayEndInTheMiddleOfAPage) {
  const ReadUnit& last = units_[5];
  ASSERT_NE(last.read_end % kDiskAlignment, 0u);
  std::filesystem::resize_file(path_, last.read_end);
  ASSERT_TRUE(DropFromCache(path_));
  ReadAhead ahead = Make();
  ASSERT_TRUE(ahead.Begin(*file_, last));
  EXPECT_EQ(Take(ahead, last), Content(last));
}

TEST_F(ReadAheadTest, OfAFileThatWasCutItGivesNothing) {
  std::filesystem::resize_file(path_, units_[3].read_end - 1);
  ASSERT_TRUE(DropFromCache(path_));
  ReadAhead ahead = Make();
  ASSERT_TRUE(ahead.Begin(*file_, units_[2]));
  ASSERT_TRUE(ahead.Begin(*file_, units_[3]));
  ASSERT_TRUE(ahead.Begin(*file_, units_[4]));
  EXPECT_EQ(Take(ahead, units_[2]), Content(units_[2]));
  EXPECT_TRUE(Take(ahead, units_[3]).empty());
  EXPECT_TRUE(Take(ahead, units_[4]).empty());
  EXPECT_EQ(stats_.direct_reads_refused, 0u);
  EXPECT_TRUE(ahead.Begin(*file_, units_[1])) << "the rest of it is read on";
}

TEST_F(ReadAheadTest, TakesNoMoreMemoryThanThereIs) {
  MemoryBudget budget(5 * kMiB);  // of which reading ahead may take half
  options_.memory = &budget;
  {
    ReadAhead ahead = Make();
    ASSERT_TRUE(ahead.Begin(*file_, units_[0]));
    ASSERT_TRUE(ahead.Begin(*file_, units_[1]));
    EXPECT_FALSE(ahead.Begin(*file_, units_[2]));
    EXPECT_EQ(stats_.direct_reads_without_room, 1u);
    EXPECT_EQ(budget.used(), 2 * kMiB);
    EXPECT_FALSE(Take(ahead, units_[0]).empty());
    EXPECT_EQ(budget.used(), kMiB) << "what is taken is its taker's";
    EXPECT_TRUE(ahead.Begin(*file_, units_[2]));
  }
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(budget.refusals(), 0u);
}

TEST_F(ReadAheadTest, OneQueryHasALimitOfItsOwn) {
  ReadAhead ahead = Make();
  const auto refused =
      std::ranges::find_if_not(units_, [&](const ReadUnit& unit) { return ahead.Begin(*file_, unit); });
  EXPECT_EQ(refused - units_.begin(), static_cast<std::ptrdiff_t>(ReadAhead::kMaxBytes / kMiB));
  EXPECT_EQ(stats_.direct_reads_without_room, 1u);
}

TEST_F(ReadAheadTest, ReadsNothingAheadWhileReadsGiveWay) {
  ReadGovernor governor(1000 * kMiB);
  options_.governor = &governor;
  ReadAhead ahead = Make();
  EXPECT_FALSE(ahead.Begin(*file_, units_[0]));
  EXPECT_EQ(governor.totals().bytes, 0u) << "whoever reads it books it";
  governor.SetLimit(0);
  EXPECT_TRUE(ahead.Begin(*file_, units_[0]));
  EXPECT_GE(governor.totals().bytes, units_[0].read_end - units_[0].read_begin);
  EXPECT_EQ(stats_.direct_reads_refused + stats_.direct_reads_without_room, 0u);
}

// The buffers are given back when the kernel has done with them, as a sanitizer of addresses would tell.
TEST_F(ReadAheadTest, EndsWithReadsUnderWay) {
  std::stop_source stop;
  options_.stop = stop.get_token();
  MemoryBudget budget(64 * kMiB);
  options_.memory = &budget;
  for (int round = 0; round < 20; ++round) {
    ReadAhead ahead = Make();
    for (size_t i = 0; i < 8; ++i) ASSERT_TRUE(ahead.Begin(*file_, units_[i]));
    if (round % 2 == 0) ahead.Start();
    if (round < 10) continue;
    stop.request_stop();
    const Result<std::optional<Buffer>> taken = ahead.Take(*file_, units_[0]);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::kCancelled);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST_F(ReadAheadTest, RefusedByTheKernelItLeavesAllReadsToOthers) {
  std::jthread([this] {
    RefuseCall(SYS_io_uring_setup, 0, EPERM);
    ReadAhead ahead = Make();
    EXPECT_FALSE(ahead.Begin(*file_, units_[0]));
    EXPECT_FALSE(ahead.Begin(*file_, units_[1]));
    ahead.Start();
    EXPECT_TRUE(Take(ahead, units_[0]).empty());
  }).join();
  EXPECT_EQ(stats_.direct_reads_refused, 1u) << "it asks once";
}

TEST_F(ReadAheadTest, RefusedByTheFileSystemItLeavesTheFileToOthers) {
  std::jthread([this] {
    RefuseCall(SYS_openat, O_DIRECT, EINVAL);
    ReadAhead ahead = Make();
    EXPECT_FALSE(ahead.Begin(*file_, units_[0]));
    EXPECT_TRUE(Take(ahead, units_[0]).empty());
  }).join();
  EXPECT_EQ(stats_.direct_reads_refused, 1u);
}

// A whole query over files of several threads whose times overlap, none of them in the page cache.
class DirectQueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t thread = 0; thread < 3; ++thread) {
      for (uint64_t file = 0; file < 2; ++file) {
        TestBlocks blocks(4 + thread);
        int64_t time = kTestStartNs + static_cast<int64_t>(file) * 3 * kNsPerSecond;
        for (auto& block : blocks) {
          for (int i = 0; i < 700; ++i) {
            block.push_back(MakePacket(random_, time += static_cast<int64_t>(random_() % kNsPerMs)));
            if (i % 2 == 0) block.back().frame.resize(1514);
            block.back().original_bytes = static_cast<uint32_t>(block.back().frame.size());
          }
        }
        builder_.AddFile(thread, kId + file, blocks, file == 1 ? IndexKind::kNone : IndexKind::kSealed);
      }
    }
    if (!TakesDirectReads(builder_.PacketPath(0, kId)))
      GTEST_SKIP() << "the file system takes no direct reads";
    if (!DropAll()) GTEST_SKIP() << "the file system keeps its pages";
  }

  bool DropAll() {
    bool dropped = true;
    for (uint32_t thread = 0; thread < 3; ++thread) {
      for (uint64_t file = 0; file < 2; ++file)
        dropped = DropFromCache(builder_.PacketPath(thread, kId + file)) && dropped;
    }
    return dropped;
  }

  static constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);
  std::mt19937_64 random_{11};
  StoreBuilder builder_{3};
  const ExpressionPtr everything_ = MakeEverything();
};

TEST_F(DirectQueryTest, AnswersAreTheSame) {
  Store store(builder_.directories());
  const std::vector<TestPacket> expected = builder_.Expected(*everything_);
  DropAll();
  const Answer direct = Ask(*everything_, store.Snapshot(), WithCachedBytes(0));
  EXPECT_EQ(Difference(direct.packets, expected), "");
  EXPECT_GT(direct.stats.bytes_read_direct, direct.stats.bytes_read / 2);
  EXPECT_LT(direct.stats.bytes_read_direct, direct.stats.bytes_read) << "each file's first block is not";
  EXPECT_EQ(direct.stats.direct_reads_refused, 0u);
  DropAll();
  const Answer ordinary = Ask(*everything_, store.Snapshot(), WithCachedBytes(UINT64_MAX));
  EXPECT_EQ(Difference(ordinary.packets, expected), "");
  EXPECT_EQ(ordinary.stats.bytes_read, direct.stats.bytes_read);
  EXPECT_EQ(ordinary.stats.bytes_read_direct, 0u);
}

TEST_F(DirectQueryTest, AnswersAreTheSameWithLittleMemory) {
  Store store(builder_.directories());
  for (const uint64_t limit : {uint64_t{1} << 20, uint64_t{8} << 20}) {
    DropAll();
    MemoryBudget budget(limit);
    QueryOptions options = WithCachedBytes(0);
    options.held_bytes_limit = limit;
    options.memory = &budget;
    const Answer answer = Ask(*everything_, store.Snapshot(), options);
    EXPECT_EQ(Difference(answer.packets, builder_.Expected(*everything_)), "") << limit;
    EXPECT_GT(answer.stats.direct_reads_without_room, 0u);
    EXPECT_EQ(budget.used(), 0u);
  }
}

TEST_F(DirectQueryTest, DamageIsToldTheSame) {
  const std::string cut = builder_.PacketPath(2, kId);
  Store store(builder_.directories());
  const StoreSnapshot snapshot = store.Snapshot();
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) * 2 / 3);
  DropAll();
  const Answer direct = Ask(*everything_, snapshot, WithCachedBytes(0));
  DropAll();
  const Answer ordinary = Ask(*everything_, snapshot, WithCachedBytes(UINT64_MAX));
  EXPECT_EQ(Difference(direct.packets, ordinary.packets), "");
  EXPECT_EQ(direct.stats.problems, ordinary.stats.problems);
  EXPECT_THAT(direct.stats.problems, ::testing::Not(::testing::IsEmpty()));
  EXPECT_GT(direct.stats.bytes_read_direct, 0u);
}

TEST_F(DirectQueryTest, AStopEndsItWithReadsUnderWay) {
  Store store(builder_.directories());
  MemoryBudget budget(64 * kMiB);
  for (const uint64_t at : {1, 700, 3000}) {
    DropAll();
    std::stop_source stop;
    QueryStats stats;
    uint64_t packets = 0;
    QueryOptions options = WithCachedBytes(0);
    options.stop = stop.get_token();
    options.memory = &budget;
    const Status status = ExecuteQuery(
        *everything_, store.Snapshot(), options,
        [&](const PacketView&, const PacketSource&) {
          if (++packets == at) stop.request_stop();
          return true;
        },
        stats);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_LE(packets, at + 1024);
    EXPECT_EQ(budget.used(), 0u);
  }
}

}  // namespace
}  // namespace steno
