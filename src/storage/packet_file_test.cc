#include "storage/packet_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "storage/block_walk.h"
#include "storage/packet_view.h"
#include "storage/storage_fixture.h"
#include "testing/block_builder.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

class PacketFileTest : public ::testing::Test {
 protected:
  BlockTable Walk(const std::vector<uint8_t>& bytes, uint64_t limit = UINT64_MAX) {
    WriteTestFile(path_, bytes);
    auto file = PacketFile::Open(path_);
    EXPECT_TRUE(file);
    auto table = file->WalkBlocks(limit);
    EXPECT_TRUE(table);
    return *table;
  }

  static void ExpectBlocks(const BlockTable& table, const TestFile& file, size_t count) {
    ASSERT_EQ(table.blocks.size(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(table.blocks[i].file_offset, file.block_offsets[i]);
      EXPECT_EQ(table.blocks[i].packet_count, file.block_packets[i]);
    }
    const bool all = count == file.block_offsets.size();
    EXPECT_EQ(table.valid_bytes, all ? file.bytes.size() : file.block_offsets[count]);
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/1700000000000000";
};

TEST_F(PacketFileTest, WalksAllBlocks) {
  const TestFile file = MakeTestFile(1, 20);
  const BlockTable table = Walk(file.bytes);
  ExpectBlocks(table, file, 20);
  EXPECT_TRUE(table.clean);
  EXPECT_FALSE(table.foreign);
  EXPECT_EQ(table.missing_blocks, 0u);
  EXPECT_EQ(table.file_id, 1'700'000'000'000'000u);
  EXPECT_EQ(table.link_type, 1);
  EXPECT_EQ(table.interface_name, "test0");
  EXPECT_EQ(table.blocks[0].first_ns, file.packets.front().time_ns);
  EXPECT_EQ(table.blocks[19].last_ns, file.packets.back().time_ns);
  EXPECT_EQ(table.blocks[0].drops, 0u);
  EXPECT_EQ(table.blocks[1].drops, 7u);
}

TEST_F(PacketFileTest, TakesZerosForTheEnd) {
  TestFile file = MakeTestFile(2, 3);
  const TestFile original = file;
  file.bytes.resize(file.bytes.size() + 3'000'000);
  const BlockTable table = Walk(file.bytes);
  EXPECT_EQ(table.blocks.size(), 3u);
  EXPECT_EQ(table.valid_bytes, original.bytes.size());
  EXPECT_TRUE(table.clean);
}

TEST_F(PacketFileTest, SeesGarbageBehindTheLastBlock) {
  TestFile file = MakeTestFile(3, 3);
  const uint64_t valid = file.bytes.size();
  file.bytes.resize(file.bytes.size() + 3'000'000);
  file.bytes.back() = 1;
  const BlockTable table = Walk(file.bytes);
  EXPECT_EQ(table.valid_bytes, valid);
  EXPECT_FALSE(table.clean);
}

TEST_F(PacketFileTest, EmptyAndZeroFilesAreCleanAndHaveNoBlocks) {
  for (const size_t size : {0, 1, 511, 4096, 2'000'000}) {
    const BlockTable table = Walk(std::vector<uint8_t>(size));
    EXPECT_TRUE(table.blocks.empty());
    EXPECT_EQ(table.valid_bytes, 0u);
    EXPECT_TRUE(table.clean);
  }
  EXPECT_FALSE(Walk(std::vector<uint8_t>(5000, 'x')).clean);
}

TEST_F(PacketFileTest, LimitHidesWhatIsNotWrittenYet) {
  const TestFile file = MakeTestFile(4, 5);
  const uint64_t third = file.block_offsets[3];
  ExpectBlocks(Walk(file.bytes, third), file, 3);
  EXPECT_EQ(Walk(file.bytes, third - 1).blocks.size(), 2u);
  EXPECT_EQ(Walk(file.bytes, third + 4095).blocks.size(), 3u);
  EXPECT_TRUE(Walk(file.bytes, 0).blocks.empty());
}

// A file cut anywhere keeps exactly the blocks that are whole.
TEST_F(PacketFileTest, EveryPrefixGivesItsWholeBlocks) {
  const TestFile file = MakeTestFile(5, 8, 1'700'000'000'000'000, 5, 8192);
  WriteTestFile(path_, file.bytes);
  for (size_t size = file.bytes.size(); size-- > 0;) {
    if (size % 4096 != 0 && size % 397 != 0) continue;
    ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    size_t whole = 0;
    while (whole < 8 && (whole + 1 < 8 ? file.block_offsets[whole + 1] : file.bytes.size()) <= size) ++whole;
    const auto table = PacketFile::Open(path_)->WalkBlocks();
    ASSERT_TRUE(table);
    EXPECT_EQ(table->blocks.size(), whole) << size;
    EXPECT_EQ(table->valid_bytes, file.block_offsets[whole]) << size;
  }
}

TEST_F(PacketFileTest, OneDamagedHeaderCostsOneBlock) {
  const TestFile file = MakeTestFile(6, 6);
  for (size_t damaged = 1; damaged < 6; ++damaged) {
    std::vector<uint8_t> bytes = file.bytes;
    bytes[file.block_offsets[damaged] + kKernelHeaderBytes + 20] ^= 1;
    const BlockTable table = Walk(bytes);
    ASSERT_EQ(table.blocks.size(), 5u);
    for (const BlockEntry& block : table.blocks) EXPECT_NE(block.file_offset, file.block_offsets[damaged]);
    EXPECT_EQ(table.missing_blocks, damaged == 5 ? 0u : 1u);
    EXPECT_FALSE(table.clean);
  }
}

// Writes complete in any order: a power failure can leave holes.
TEST_F(PacketFileTest, FindsBlocksBehindBlocksThatWereNeverWritten) {
  const TestFile file = MakeTestFile(7, 6);
  std::vector<uint8_t> bytes = file.bytes;
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(file.block_offsets[2]),
            bytes.begin() + static_cast<std::ptrdiff_t>(file.block_offsets[4]), uint8_t{0});
  const BlockTable table = Walk(bytes);
  ASSERT_EQ(table.blocks.size(), 4u);
  EXPECT_EQ(table.blocks[2].file_offset, file.block_offsets[4]);
  EXPECT_EQ(table.missing_blocks, 2u);
  EXPECT_EQ(table.valid_bytes, file.bytes.size());
}

// What is left of a file that had the same space before, or of a block in a packet's payload.
TEST_F(PacketFileTest, NeverTakesABlockOfAnotherFile) {
  const TestFile file = MakeTestFile(8, 3);
  const TestFile other = MakeTestFile(8, 6, 1'700'000'000'000'000, 100);
  ASSERT_EQ(file.block_offsets[2], other.block_offsets[2]) << "same seed, same sizes";
  std::vector<uint8_t> bytes = file.bytes;
  bytes.insert(bytes.end(), other.bytes.begin() + static_cast<std::ptrdiff_t>(file.bytes.size()),
               other.bytes.end());
  const BlockTable table = Walk(bytes);
  ExpectBlocks(table, file, 3);
  EXPECT_FALSE(table.clean);
}

TEST_F(PacketFileTest, NeverTakesABlockAtAnotherPlace) {
  const TestFile file = MakeTestFile(9, 3);
  std::vector<uint8_t> bytes = file.bytes;
  bytes.insert(bytes.end(), file.bytes.begin(), file.bytes.end());
  ExpectBlocks(Walk(bytes), file, 3);
  // Nor may a file begin with a later block.
  EXPECT_TRUE(
      Walk({file.bytes.begin() + static_cast<std::ptrdiff_t>(file.block_offsets[1]), file.bytes.end()})
          .blocks.empty());
}

TEST_F(PacketFileTest, SurvivesRandomDamageOfHeaders) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const TestFile file = MakeTestFile(seed, 5, 1'700'000'000'000'000, 5, 4096, 500);
    std::vector<uint8_t> bytes = file.bytes;
    for (int i = 0; i < 3; ++i) {
      bytes[file.block_offsets[random() % 5] + random() % kFirstPacketOffset] =
          static_cast<uint8_t>(random());
    }
    const BlockTable table = Walk(bytes);
    EXPECT_LE(table.valid_bytes, bytes.size());
    for (const BlockEntry& block : table.blocks) {
      EXPECT_NE(std::find(file.block_offsets.begin(), file.block_offsets.end(), block.file_offset),
                file.block_offsets.end());
    }
  }
}

TEST_F(PacketFileTest, WalksFilesOfTheIncumbent) {
  TestFile file = MakeForeignFile(10, 3, 50);
  const BlockTable table = Walk(file.bytes);
  ExpectBlocks(table, file, 3);
  EXPECT_TRUE(table.foreign);
  EXPECT_TRUE(table.clean);
  EXPECT_EQ(table.blocks[0].first_ns, file.packets[0].time_ns);
  EXPECT_EQ(table.blocks[0].last_ns, file.packets[49].time_ns);
  EXPECT_EQ(table.blocks[2].last_ns, file.packets[149].time_ns);

  file.bytes.resize(file.bytes.size() + (2 << 20));  // preallocated
  EXPECT_EQ(Walk(file.bytes).blocks.size(), 3u);
  EXPECT_TRUE(Walk(file.bytes).clean);
  file.bytes.resize((2 << 20) + 2000);  // cut in the third block
  const BlockTable cut = Walk(file.bytes);
  EXPECT_EQ(cut.blocks.size(), 2u);
  EXPECT_FALSE(cut.clean);
}

TEST_F(PacketFileTest, OpenTellsWhatIsMissing) {
  const auto missing = PacketFile::Open(dir_.path() + "/nothing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  const std::string fifo = dir_.path() + "/123";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(PacketFile::Open(fifo));
  EXPECT_FALSE(PacketFile::Open(dir_.path()));
}

TEST_F(PacketFileTest, ReadGivesExactBytesOrAnError) {
  WriteTestFile(path_, {1, 2, 3, 4, 5});
  const auto file = PacketFile::Open(path_);
  ASSERT_TRUE(file);
  std::vector<uint8_t> bytes(3);
  ASSERT_TRUE(file->Read(bytes, 2));
  EXPECT_EQ(bytes, (std::vector<uint8_t>{3, 4, 5}));
  const Status past = file->Read(bytes, 3);
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code, ErrorCode::kCorrupt);
}

TEST_F(PacketFileTest, FindNonZeroReadsOnlyWhatIsWritten) {
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  const uint64_t size = uint64_t{64} << 30;  // would take minutes to read
  ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
  EXPECT_EQ(*FindNonZero(fd, path_, 0, size), size);
  const uint64_t place = uint64_t{40} << 30;
  ASSERT_EQ(::pwrite(fd, "x", 1, static_cast<off_t>(place + 5)), 1);
  EXPECT_EQ(*FindNonZero(fd, path_, 0, size), place + 5);
  EXPECT_EQ(*FindNonZero(fd, path_, 0, place), place);
  EXPECT_EQ(*FindNonZero(fd, path_, place + 6, size), size);
  ::close(fd);
}

// Bytes that this process has read, from the page cache or not.
uint64_t BytesReadSoFar() {
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t value = 0;
  io >> name >> value;  // "rchar:" is the first line
  return value;
}

// What a killed writer leaves: a large preallocation with a few blocks (or none: the next file) and nothing
// else.
class PreallocatedFileTest : public PacketFileTest, public ::testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Blocks, PreallocatedFileTest, ::testing::Values(0, 3));

TEST_P(PreallocatedFileTest, IsWalkedWithoutReadingItsRest) {
  if (GetParam() > 0) {
    WriteTestFile(path_, MakeTestFile(12, GetParam()).bytes);
  } else {
    WriteTestFile(path_, {});
  }
  const int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const int refused = ::posix_fallocate(fd, 0, off_t{1} << 30);
  ::close(fd);
  if (refused != 0) GTEST_SKIP() << "no room for 1 GiB of preallocation";
  const auto packets = PacketFile::Open(path_);
  ASSERT_TRUE(packets);
  const uint64_t before = BytesReadSoFar();
  const auto table = packets->WalkBlocks();
  ASSERT_TRUE(table);
  EXPECT_EQ(table->blocks.size(), GetParam());
  EXPECT_TRUE(table->clean);
  EXPECT_LT(BytesReadSoFar() - before, uint64_t{32} << 20);
}

// Each changed bit of the 464 bytes must be noticed.
TEST(BlockHeader, ChecksumCoversEveryBit) {
  const TestFile file = MakeTestFile(11, 1);
  BlockHeader header;
  std::memcpy(&header, file.bytes.data() + kKernelHeaderBytes, sizeof header);
  ASSERT_TRUE(CheckBlockHeader(header, 0, nullptr));
  for (size_t bit = 0; bit < sizeof header * 8; ++bit) {
    BlockHeader changed = header;
    reinterpret_cast<uint8_t*>(&changed)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(CheckBlockHeader(changed, 0, nullptr)) << bit;
  }
  EXPECT_FALSE(CheckBlockHeader(header, 4096, nullptr));
}

TEST(BlockHeader, RefusesImpossibleValuesUnderAValidChecksum) {
  const TestFile file = MakeTestFile(12, 1);
  BlockHeader good;
  std::memcpy(&good, file.bytes.data() + kKernelHeaderBytes, sizeof good);
  const auto refused = [&good](const auto& change) {
    BlockHeader header = good;
    change(header);
    SealBlockHeader(header);
    return !CheckBlockHeader(header, 0, &good);
  };
  EXPECT_FALSE(refused([](BlockHeader&) {}));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.version = 2; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.used_bytes = 511; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.used_bytes = kMaxBlockBytes + 1; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.disk_bytes = 0; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.disk_bytes += 4096; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.file_id++; }));
  EXPECT_TRUE(refused([](BlockHeader& h) { h.file_tag++; }));
}

}  // namespace
}  // namespace steno
