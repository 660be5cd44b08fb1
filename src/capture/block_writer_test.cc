#include "capture/block_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/bytes.h"
#include "base/file.h"
#include "capture/capture_fixture.h"
#include "capture/counter.h"
#include "index/owner.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "index/verify.h"
#include "storage/packet_file.h"
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
  bool enclosing_times = false;
  std::string engine = "pwrite";
};

// A writer with everything real around it: engine, preparer, sealing thread, arena, disk.
class Harness {
 public:
  explicit Harness(const Setup& setup)
      : packets_(dir_.Make("PKT0")),
        index_(dir_.Make("IDX0")),
        arena_(*Arena::Create(0)),
        builder_(*IndexBuilder::Create()),
        engine_(std::move(MakeIoEngine({.kind = setup.engine, .queue_depth = kSlots})->engine)),
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
                 .index = setup.index,
                 .enclosing_times = setup.enclosing_times},
                {*engine_, preparer_, *sealing_, builder_, arena_}) {
    void* memory = std::aligned_alloc(kDiskAlignment, kSlots * kMiB);
    std::memset(memory, 0xee, kSlots * kMiB);
    memory_.reset(static_cast<uint8_t*>(memory));
    for (uint32_t slot = 0; slot < kSlots; ++slot) free_.push_back(slot);
  }

  // Writes a block of frames number first, first + 1, ... with times that follow from the number.
  void Write(uint32_t first, uint32_t count, uint64_t drops_total = 0, uint32_t flags = 0) {
    BlockBuilder builder;
    for (uint32_t number = first; number < first + count; ++number) {
      ASSERT_TRUE(builder.Add(NumberedFrame(number), kFirstPacketNs + number));
    }
    WriteBlock(builder, drops_total, flags);
  }

  // Writes a block of short frames, each a flow of its own.
  void WriteFlows(uint32_t first, uint32_t count) {
    BlockBuilder builder;
    std::vector<uint8_t> frame = NumberedFrame(0);
    frame.resize(60);
    for (uint32_t number = first; number < first + count; ++number) {
      StoreBe(frame.data() + 26, number);  // source address
      ASSERT_TRUE(builder.Add(frame, kFirstPacketNs + number));
    }
    WriteBlock(builder, 0);
  }

  void WriteBlock(BlockBuilder& builder, uint64_t drops_total, uint32_t flags = 0) {
    while (free_.empty()) Turn();
    const uint32_t slot = free_.back();
    free_.pop_back();
    const std::span<uint8_t> memory(memory_.get() + slot * kMiB, kMiB);
    const auto block = builder.Block();
    std::memcpy(memory.data(), block.data(), block.size());
    const int64_t deadline = MonotonicNs() + 10 * kNsPerSecond;
    while (!writer_.Write({.memory = memory, .slot = slot, .flags = flags, .drops_total = drops_total},
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

TEST(BlockWriterTest, RoomIsWhatTheQueueOfWritesHasLeft) {
  Harness harness({});
  // Nothing is reaped in between.
  for (uint32_t block = 0; block < kSlots; ++block) {
    harness.Write(100 * block, 100);
    EXPECT_EQ(harness.writer_.room(), kSlots - 1 - block);
  }
  const std::span<uint8_t> any_block(harness.memory_.get(), kMiB);
  EXPECT_FALSE(harness.writer_.Write({.memory = any_block}, MonotonicNs()));
  harness.Settle();
  EXPECT_EQ(harness.writer_.room(), kSlots);
  harness.Finish();
  EXPECT_EQ(harness.Numbers(), UpTo(100 * kSlots));
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

TEST(BlockWriterTest, WithoutIndexTimesEncloseThePackets) {
  Harness harness({.index = false, .enclosing_times = true});
  const std::vector<std::vector<int64_t>> times = {{0, 900, 17}, {400, 300, 2000}, {5000}};
  uint32_t number = 0;
  uint64_t exact = 0;
  for (const auto& block : times) {
    BlockBuilder builder;
    for (const int64_t ns : block) {
      const auto frame = NumberedFrame(number++);
      exact += frame.size();
      builder.Add(frame, kFirstPacketNs + ns);
    }
    harness.WriteBlock(builder, 0);
  }
  harness.Finish();
  EXPECT_EQ(ValueOf(harness.arena_.counters().packets), number);
  const uint64_t counted = ValueOf(harness.arena_.counters().bytes);
  EXPECT_GE(counted, exact);
  EXPECT_LE(counted, exact + uint64_t{7} * number);

  const std::string path = harness.packets_ + "/" + Visible(harness.packets_).front();
  const auto table = PacketFile::Open(path)->WalkBlocks();
  ASSERT_TRUE(table);
  ASSERT_EQ(table->blocks.size(), times.size());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(table->blocks[i].flags, kEnclosingTimes);
    EXPECT_LE(table->blocks[i].first_ns, kFirstPacketNs + std::ranges::min(times[i]));
    EXPECT_GE(table->blocks[i].last_ns, kFirstPacketNs + std::ranges::max(times[i]));
  }

  // An index that is made later has exact times, and fits all the same.
  ASSERT_TRUE(RebuildIndex(path, harness.index_, "0"));
  const auto report = VerifyFile(path, harness.index_ + "/0");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  const auto index = OpenSealedIndex(harness.index_ + "/0");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ((*index)->blocks().front().last_ns, kFirstPacketNs + 900);
  EXPECT_TRUE(CheckBlocks(path, (*index)->blocks(), *table));
  auto moved = *table;
  moved.blocks.front().first_ns = kFirstPacketNs + 1;
  EXPECT_FALSE(CheckBlocks(path, (*index)->blocks(), moved)) << "a packet is earlier";
}

TEST(BlockWriterTest, GatheredBlocksHaveExactTimes) {
  Harness harness({.index = false, .enclosing_times = true});
  harness.Write(0, 10, 0, kBlockGathered);
  harness.Finish();
  const std::string path = harness.packets_ + "/" + Visible(harness.packets_).front();
  const auto table = PacketFile::Open(path)->WalkBlocks();
  ASSERT_TRUE(table);
  EXPECT_EQ(table->blocks.front().flags, 0u);
  EXPECT_EQ(table->blocks.front().first_ns, kFirstPacketNs);
  EXPECT_EQ(table->blocks.front().last_ns, kFirstPacketNs + 9);
}

TEST(BlockWriterTest, WithoutAFreeSegmentBlocksAreWrittenWithoutIndexUntilThereIsOne) {
  Harness harness({});
  const auto set_state = [&](SegmentState state) {
    for (unsigned index = 0; index < kArenaSegments; ++index) {
      harness.arena_.segment(index).header->state.store(static_cast<uint32_t>(state));
    }
  };
  set_state(SegmentState::kSealing);
  harness.Write(0, 10);
  harness.Write(10, 10);
  set_state(SegmentState::kFree);
  harness.Write(5000, 10);  // microseconds later: names sort as they were written
  harness.Write(5010, 10);
  harness.Finish();
  EXPECT_EQ(harness.Numbers().size(), 40u);
  EXPECT_EQ(ValueOf(harness.arena_.counters().unindexed_blocks), 2u);
  EXPECT_EQ(Visible(harness.packets_).size(), 2u);
  EXPECT_EQ(Visible(harness.index_), std::vector{Visible(harness.packets_)[1]});
}

// What cannot be indexed any more is seen all the same, and only until there is a segment for a new file.
TEST(BlockWriterTest, WhatFollowsAFullSegmentIsSeenInItUntilAnotherIsFree) {
  constexpr uint32_t kPerBlock = 7000;
  constexpr uint32_t kBlocks = kSegmentMaxFlows / kPerBlock + 3;
  Harness harness({.file_bytes = 128 * kMiB});
  auto& other = harness.arena_.segment(1).header->state;
  other.store(static_cast<uint32_t>(SegmentState::kSealing));
  for (uint32_t block = 0; block < kBlocks; ++block) harness.WriteFlows(block * kPerBlock, kPerBlock);
  harness.Settle();
  const auto snapshot = SegmentSnapshot::Take(harness.arena_.segment(0));
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->blocks.size(), kBlocks);
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const bool unindexed = (snapshot->blocks[block].entry.flags & kBlockUnindexed) != 0;
    EXPECT_EQ(unindexed, block + 3 >= kBlocks) << block;
  }
  EXPECT_EQ(ValueOf(harness.arena_.counters().index_full), 1u);
  EXPECT_EQ(ValueOf(harness.arena_.counters().unindexed_blocks), 2u) << "all after the one that filled it";
  EXPECT_TRUE(Visible(harness.packets_).empty());

  other.store(static_cast<uint32_t>(SegmentState::kFree));
  harness.Turn();  // without a further block
  harness.WaitForSealing();
  EXPECT_EQ(Visible(harness.packets_).size(), 1u);
  harness.WriteFlows(kBlocks * kPerBlock, 10);
  harness.Finish();
  EXPECT_EQ(ValueOf(harness.arena_.counters().stored_packets), kBlocks * kPerBlock + 10);
  EXPECT_EQ(Visible(harness.packets_).size(), 2u);
  EXPECT_EQ(Visible(harness.index_), Visible(harness.packets_));
}

// A segment that fills while another is sealed would leave the next file without one.
TEST(BlockWriterTest, AnIndexIsWrittenRawWhenTheNextSegmentFillsUp) {
  Harness harness({});
  harness.Write(0, 10);
  // Nearly full, as its last block says.
  const SegmentMemory& next = harness.arena_.segment(1);
  next.Reset(7, 7, ".7");
  next.blocks[0].flow_count = kSegmentMaxFlows;
  next.header->published_blocks.store(1);
  harness.writer_.CloseFile();
  harness.WaitForSealing();
  next.header->state.store(static_cast<uint32_t>(SegmentState::kFree));
  harness.Write(5000, 10);
  harness.Finish();
  EXPECT_EQ(ValueOf(harness.arena_.counters().raw_indexes), 1u);
  const auto names = Visible(harness.index_);
  ASSERT_EQ(names.size(), 2u);
  EXPECT_TRUE(ReadIndexSummary(harness.index_ + "/" + names[0])->raw);
  EXPECT_FALSE(ReadIndexSummary(harness.index_ + "/" + names[1])->raw);
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

// The bytes of a directory's files, without what is random: the tag, and the checksum that covers it.
std::vector<std::vector<uint8_t>> FileBytes(const std::string& directory) {
  std::vector<std::vector<uint8_t>> files;
  for (const std::string& name : Visible(directory)) {
    std::ifstream in(directory + "/" + name, std::ios::binary);
    auto& bytes = files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    for (size_t at = 0; at + kFirstPacketOffset <= bytes.size();) {
      BlockHeader header;
      std::memcpy(&header, bytes.data() + at + kKernelHeaderBytes, sizeof header);
      EXPECT_EQ(header.magic, kBlockMagic);
      if (header.disk_bytes == 0) break;
      const uint32_t disk_bytes = header.disk_bytes;
      header.file_tag = header.header_crc = 0;
      std::memcpy(bytes.data() + at + kKernelHeaderBytes, &header, sizeof header);
      at += disk_bytes;
    }
  }
  return files;
}

TEST(BlockWriterTest, EveryEngineMakesTheSameFiles) {
  std::vector<std::vector<uint8_t>> expected;
  for (const char* engine : {"pwrite", "libaio", "io_uring"}) {
    SCOPED_TRACE(engine);
    if (!MakeIoEngine({.kind = engine, .queue_depth = 1})) continue;  // not allowed here
    Harness harness({.file_bytes = 2 * kMiB, .engine = engine});
    for (uint32_t block = 0, number = 0; block < 20; ++block) {
      const uint32_t count = 1 + block * 17 % 400;
      harness.Write(number, count, block / 10);
      if (block % 5 == 0) harness.WaitForSealing();
      number += count;
    }
    harness.Finish();
    const auto files = FileBytes(harness.packets_);
    EXPECT_GE(files.size(), 2u);
    if (expected.empty()) expected = files;
    EXPECT_TRUE(files == expected);
  }
}

// What goes to a file that nobody can open any more is lost, and said to be.
TEST(BlockWriterTest, AFileThatSomebodyRemovesIsLeftForANewOne) {
  Harness harness({});
  harness.Write(0, 10);
  harness.Settle();
  for (const std::string& name : NamesIn(harness.packets_)) {
    ASSERT_EQ(::unlink((harness.packets_ + "/" + name).c_str()), 0);
  }
  const CaptureCounters& counters = harness.arena_.counters();
  const int64_t deadline = MonotonicNs() + 10 * kNsPerSecond;
  uint32_t number = 10;
  while (Visible(harness.packets_).empty() && MonotonicNs() < deadline) {
    harness.Write(number, 10);
    number += 10;
    for (int i = 0; i < 10; ++i) harness.Turn(), SleepMs(10);
    if (ValueOf(counters.removed_packets) > 0 && NamesIn(harness.packets_).size() > 1) break;
  }
  EXPECT_GE(ValueOf(counters.removed_packets), 10u);
  harness.Write(number, 10);
  number += 10;
  harness.Finish();
  const auto kept = harness.Numbers();
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(kept.back(), number - 1);
  EXPECT_EQ(ValueOf(counters.stored_packets), number);
  EXPECT_EQ(kept.size() + ValueOf(counters.removed_packets), number);
  EXPECT_EQ(Visible(harness.packets_), Visible(harness.index_));
}

// Pages of the open file that are in the page cache.
size_t CachedPages(int fd, size_t bytes) {
  void* const map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return SIZE_MAX;
  std::vector<unsigned char> pages(bytes / kDiskAlignment);
  const bool known = ::mincore(map, bytes, pages.data()) == 0;
  ::munmap(map, bytes);
  if (!known) return SIZE_MAX;
  return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](auto page) { return page & 1; }));
}

TEST(SealingThreadTest, BufferedWritesDoNotStayInThePageCache) {
  const TempDir dir;
  const auto arena = Arena::Create(0);
  auto file = PrepareFile(dir.path(), 16 * kMiB, kMiB);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(::fcntl(file->fd.get(), F_SETFL, 0), 0);  // as where O_DIRECT is refused
  file->direct = false;
  SealingThread sealing({.index_directory = dir.path()}, arena->counters());
  sealing.Watch(&*file);
  const std::vector<uint8_t> bytes(4 * kMiB, 0x5a);
  ASSERT_TRUE(WriteFully(file->fd.get(), bytes, 0, "file"));
  ASSERT_GT(CachedPages(file->fd.get(), bytes.size()), 0u) << "is this file system in memory?";
  sealing.Written(bytes.size());
  const int64_t deadline = MonotonicNs() + 20 * kNsPerSecond;
  while (CachedPages(file->fd.get(), bytes.size()) > 0 && MonotonicNs() < deadline) SleepMs(20);
  EXPECT_EQ(CachedPages(file->fd.get(), bytes.size()), 0u);
  sealing.Watch(nullptr);
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
  EXPECT_EQ(ValueOf(counters.disk_errno), static_cast<uint64_t>(EFBIG));
  EXPECT_EQ(ValueOf(counters.disk_troubles), 1u);
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
