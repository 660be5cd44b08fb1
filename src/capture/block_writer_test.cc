#include "capture/block_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "capture/capture_fixture.h"
#include "capture/counter.h"
#include "testing/block_builder.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::BlockBuilder;
using testing::TempDir;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint32_t kSlots = 8;
constexpr int64_t kFirstPacketNs = 1'700'000'000'123'456'789;

struct Setup {
  uint64_t file_bytes = 64 * kMiB;
  uint64_t allocate = 0;  // 0: file_bytes
  int64_t file_age_ns = 3600 * kNsPerSecond;
  unsigned thread_residue = 1;
  bool index = true;
};

// A writer with everything real around it: engine, preparer, sealing thread, arena, disk.
class Harness {
 public:
  explicit Harness(const Setup& setup)
      : packets_(dir_.Make("PKT0")),
        index_(dir_.Make("IDX0")),
        arena_(*Arena::Create(0)),
        builder_(*IndexBuilder::Create()),
        engine_(std::move(MakeIoEngine({.kind = "pwrite", .queue_depth = kSlots})->engine)),
        preparer_({{.directory = packets_,
                    .file_bytes = setup.allocate != 0 ? setup.allocate : setup.file_bytes,
                    .minimum_bytes = kMiB}}),
        sealing_(std::make_unique<SealingThread>(
            SealingOptions{.thread = 0, .threads = setup.thread_residue, .index_directory = index_},
            arena_.counters())),
        writer_({.threads = setup.thread_residue,
                 .file_bytes = setup.file_bytes,
                 .extend = setup.allocate != 0,
                 .file_age_ns = setup.file_age_ns,
                 .queue_depth = kSlots,
                 .slots = kSlots,
                 .index = setup.index},
                {*engine_, preparer_, *sealing_, builder_, arena_}) {
    void* memory = std::aligned_alloc(kDiskAlignment, kSlots * kMiB);
    std::memset(memory, 0xee, kSlots * kMiB);
    memory_.reset(static_cast<uint8_t*>(memory));
    for (uint32_t slot = 0; slot < kSlots; ++slot) free_.push_back(slot);
  }

  // Writes a block of frames number first, first + 1, ... with times that follow from the number.
  void Write(uint32_t first, uint32_t count, uint64_t drops_total = 0) {
    BlockBuilder builder;
    for (uint32_t number = first; number < first + count; ++number) {
      ASSERT_TRUE(builder.Add(NumberedFrame(number), kFirstPacketNs + number));
    }
    while (free_.empty()) Turn();
    const uint32_t slot = free_.back();
    free_.pop_back();
    const std::span<uint8_t> memory(memory_.get() + slot * kMiB, kMiB);
    const auto block = builder.Block();
    std::memcpy(memory.data(), block.data(), block.size());
    const int64_t deadline = MonotonicNs() + 10 * kNsPerSecond;
    while (!writer_.Write({.memory = memory, .slot = slot, .flags = 0, .drops_total = drops_total},
                          MonotonicNs())) {
      ASSERT_LT(MonotonicNs(), deadline) << "no file became ready";
      Turn();
    }
  }

  void Turn() {
    std::array<uint32_t, kSlots> slots;
    const size_t count = writer_.Reap(slots, MonotonicNs());
    free_.insert(free_.end(), slots.begin(), slots.begin() + static_cast<ptrdiff_t>(count));
    writer_.Tick(MonotonicNs());
    if (count == 0) SleepMs(1);
  }

  // Until every write is over and every closed file is handed over.
  void Settle() {
    while (free_.size() < kSlots || writer_.handing_over()) Turn();
  }

  // Until the sealing thread has nothing to do, so that the next file finds a free segment.
  void WaitForSealing() {
    const auto sealing = [this](unsigned index) {
      const uint32_t state = arena_.segment(index).header->state.load(std::memory_order_acquire);
      return state == static_cast<uint32_t>(SegmentState::kSealing);
    };
    Settle();
    while (sealing(0) || sealing(1)) SleepMs(1);
  }

  void Finish() {
    writer_.CloseFile();
    Settle();
    EXPECT_TRUE(writer_.idle());
    sealing_.reset();
  }

  [[nodiscard]] std::vector<uint32_t> Numbers() const {
    std::vector<uint32_t> numbers;
    for (const RecordedPacket& packet : NumberedPackets(packets_)) {
      const uint32_t number = NumberOf(packet.frame);
      EXPECT_EQ(packet.frame, NumberedFrame(number));
      EXPECT_EQ(packet.time_ns, kFirstPacketNs + number);
      numbers.push_back(number);
    }
    return numbers;
  }

  TempDir dir_;
  std::string packets_;
  std::string index_;
  Arena arena_;
  IndexBuilder builder_;
  std::unique_ptr<IoEngine> engine_;
  FilePreparer preparer_;
  std::unique_ptr<SealingThread> sealing_;
  BlockWriter writer_;
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
  std::vector<uint32_t> free_;
};

std::vector<uint32_t> UpTo(uint32_t end) {
  std::vector<uint32_t> numbers(end);
  for (uint32_t number = 0; number < end; ++number) numbers[number] = number;
  return numbers;
}

std::vector<std::string> Visible(const std::string& directory) {
  std::vector<std::string> names;
  for (const std::string& name : NamesIn(directory)) {
    if (!name.starts_with('.')) names.push_back(name);
  }
  return names;
}

TEST(BlockWriterTest, FilesRotateBySizeAndLoseNothing) {
  Harness harness({.file_bytes = 2 * kMiB});
  uint32_t number = 0;
  for (uint32_t block = 0; block < 60; ++block) {
    const uint32_t count = 1 + block * 17 % 400;
    harness.Write(number, count, block / 10);
    if (block % 5 == 0) harness.WaitForSealing();
    number += count;
  }
  harness.Finish();
  EXPECT_EQ(harness.Numbers(), UpTo(number));
  const auto files = ReadRecorded(harness.packets_);
  EXPECT_GE(files.size(), 4u);
  uint64_t drops = 0;
  for (const RecordedFile& file : files) {
    EXPECT_LE(file.bytes, 2 * kMiB);
    // The name is the time of the first packet.
    EXPECT_EQ(file.name, std::to_string(file.packets.front().time_ns / 1000));
    drops += file.drops;
  }
  EXPECT_EQ(drops, 5u) << "each loss stands in one block header";
  EXPECT_EQ(Visible(harness.packets_), Visible(harness.index_));
  const CaptureCounters& counters = harness.arena_.counters();
  EXPECT_EQ(ValueOf(counters.files), files.size());
  EXPECT_EQ(ValueOf(counters.stored_packets), number);
  EXPECT_EQ(ValueOf(counters.packets), number);
  EXPECT_EQ(ValueOf(counters.disk_blocks), 60u);
  EXPECT_EQ(ValueOf(counters.write_error_drops), 0u);
}

TEST(BlockWriterTest, WrittenBlocksAreVisibleBeforeTheFileIsComplete) {
  Harness harness({});
  harness.Write(0, 10);
  harness.Write(10, 10);
  harness.Settle();
  const auto snapshot = SegmentSnapshot::Take(harness.arena_.segment(0));
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->blocks.size(), 2u);
  EXPECT_EQ(snapshot->file_id, static_cast<uint64_t>(kFirstPacketNs / 1000));
  EXPECT_TRUE(Visible(harness.packets_).empty());
  harness.Finish();
  EXPECT_EQ(Visible(harness.packets_).size(), 1u);
  EXPECT_FALSE(SegmentSnapshot::Take(harness.arena_.segment(0))) << "the segment must be free again";
}

TEST(BlockWriterTest, AFileEndsAtItsAgeAndOnlyIfItHasBlocks) {
  Harness harness({.file_age_ns = 100 * kNsPerMs});
  const auto files = [&] { return Visible(harness.packets_).size(); };
  for (int i = 0; i < 20; ++i) harness.Turn(), SleepMs(10);
  EXPECT_EQ(files(), 0u);
  harness.Write(0, 5);
  const int64_t deadline = MonotonicNs() + 5 * kNsPerSecond;
  while (files() == 0 && MonotonicNs() < deadline) harness.Turn(), SleepMs(5);
  EXPECT_EQ(files(), 1u);
  harness.Finish();
  EXPECT_EQ(harness.Numbers(), UpTo(5));
}

TEST(BlockWriterTest, WithoutIndexThereIsNoneAndBlocksCount) {
  Harness harness({.index = false});
  harness.Write(0, 10);
  harness.Finish();
  EXPECT_EQ(harness.Numbers(), UpTo(10));
  EXPECT_TRUE(NamesIn(harness.index_).empty());
  EXPECT_EQ(ValueOf(harness.arena_.counters().unindexed_blocks), 1u);
}

TEST(BlockWriterTest, WithoutAFreeSegmentAFileIsWrittenWithoutIndex) {
  Harness harness({});
  const auto set_state = [&](SegmentState state) {
    for (unsigned index = 0; index < kArenaSegments; ++index) {
      harness.arena_.segment(index).header->state.store(static_cast<uint32_t>(state));
    }
  };
  set_state(SegmentState::kSealing);
  harness.Write(0, 10);
  set_state(SegmentState::kFree);
  harness.Write(10, 10);
  harness.writer_.CloseFile();
  harness.Write(5000, 10);  // microseconds later: names sort as they were written
  harness.Finish();
  EXPECT_EQ(harness.Numbers().size(), 30u);
  EXPECT_EQ(ValueOf(harness.arena_.counters().unindexed_blocks), 2u);
  EXPECT_EQ(Visible(harness.packets_).size(), 2u);
  EXPECT_EQ(Visible(harness.index_), std::vector{Visible(harness.packets_)[1]});
}

// Two recorders, or a clock that was set back, can want a name that is taken.
TEST(BlockWriterTest, ATakenNameIsPassedOverForBothFiles) {
  Harness harness({.thread_residue = 4});
  const uint64_t id = kFirstPacketNs / 1000 / 4 * 4;
  std::ofstream(harness.index_ + "/" + std::to_string(id)) << "not ours";
  std::ofstream(harness.packets_ + "/" + std::to_string(id + 4)) << "not ours either";
  harness.Write(0, 10);
  harness.Finish();
  const std::string expected = std::to_string(id + 8);
  EXPECT_EQ(::access((harness.packets_ + "/" + expected).c_str(), F_OK), 0);
  EXPECT_EQ(::access((harness.index_ + "/" + expected).c_str(), F_OK), 0);
}

// The limit of file sizes makes real writes fail.
void RecordUnderFileSizeLimit() {
  ::signal(SIGXFSZ, SIG_IGN);
  Harness harness({.file_bytes = 64 * kMiB, .allocate = kMiB});
  rlimit limit{3 * kMiB, RLIM_INFINITY};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  uint32_t number = 0;
  for (uint32_t block = 0; block < 40; ++block, number += 300) {
    harness.Write(number, 300);
    harness.WaitForSealing();  // one at a time: exactly the failing block is lost
  }
  harness.Finish();
  const CaptureCounters& counters = harness.arena_.counters();
  const uint64_t lost = ValueOf(counters.write_error_drops);
  EXPECT_GT(ValueOf(counters.write_errors), 1u);
  EXPECT_EQ(lost, ValueOf(counters.write_errors) * 300);
  EXPECT_EQ(harness.Numbers().size(), number - lost);
  EXPECT_EQ(ValueOf(counters.stored_packets), number - lost);
  EXPECT_EQ(Visible(harness.packets_), Visible(harness.index_));
}

TEST(BlockWriterTest, AWriteErrorCostsItsBlockAndTheFileEndsBeforeIt) {
  const pid_t child = ::fork();
  if (child == 0) {
    RecordUnderFileSizeLimit();
    std::fflush(nullptr);
    ::_exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace steno
