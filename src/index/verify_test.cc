#include "index/verify.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "index/raw_index.h"
#include "index/test_segment.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using Bytes = std::vector<uint8_t>;

class VerifyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::mt19937_64 random(3);
    for (int block = 0; block < 3; ++block) {
      for (int i = 0; i < 200; ++i) segment_.Add(testing::MakeRandomFrame(random));
      offsets_.push_back(segment_.file_bytes().size());
      segment_.EndBlock();
    }
    Write(packets_, segment_.file_bytes());
    ASSERT_TRUE(SealSegment(segment_.Snapshot(), temp_.path() + "/index", "1"));
  }

  static void Write(const std::string& path, const Bytes& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  static Bytes Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] FileReport Verify() const { return VerifyFile(packets_, index_).value(); }
  [[nodiscard]] size_t Problems() const { return Verify().problems.size(); }

  testing::TempDir temp_;
  const std::string packets_ = temp_.Make("packets") + "/1";
  const std::string index_ = temp_.Make("index") + "/1";
  testing::TestSegment segment_;
  std::vector<uint64_t> offsets_;  // of the blocks
};

TEST_F(VerifyTest, FindsNothingWrongWithWhatIsWritten) {
  const FileReport report = Verify();
  EXPECT_EQ(report.problems, std::vector<std::string>());
  EXPECT_EQ(report.notes, std::vector<std::string>());
  EXPECT_EQ(report.blocks, 3u);
  EXPECT_EQ(report.packets, 600u);
  EXPECT_TRUE(report.indexed);
}

TEST_F(VerifyTest, NoIndexAndARawOneAreNoProblems) {
  std::filesystem::remove(index_);
  EXPECT_EQ(Verify().notes.size(), 1u);
  EXPECT_EQ(Problems(), 0u);
  ASSERT_TRUE(WriteRawIndex(segment_.Snapshot(), temp_.path() + "/index", "1"));
  const FileReport report = Verify();
  EXPECT_EQ(report.problems, std::vector<std::string>());
  EXPECT_EQ(report.notes.size(), 1u);
}

TEST_F(VerifyTest, EveryByteOfAnIndexCounts) {
  std::mt19937_64 random(4);
  const Bytes whole = Read(index_);
  for (unsigned round = 0; round < 150; ++round) {
    Bytes damaged = whole;
    const size_t at = random() % damaged.size();
    damaged[at] ^= static_cast<uint8_t>(1u << random() % 8);
    Write(index_, damaged);
    EXPECT_EQ(Problems(), 1u) << "byte " << at;
  }
  Bytes cut = whole;
  cut.resize(random() % cut.size());
  Write(index_, cut);
  EXPECT_EQ(Problems(), 1u);
}

// A byte of a payload is nobody's to check; every other is missed in the block, or gives another index.
TEST_F(VerifyTest, FindsDamageOfBlocks) {
  const Bytes whole = Read(packets_);
  for (const uint64_t block : offsets_) {
    for (const size_t at : {size_t{0}, size_t{8}, sizeof(BlockHeader) / 2}) {
      Bytes damaged = whole;
      damaged[block + kKernelHeaderBytes + at] ^= 0x10;
      Write(packets_, damaged);
      EXPECT_GE(Problems(), 1u) << "header of the block at " << block << ", byte " << at;
    }
    Bytes chain = whole;
    chain[block + kFirstPacketOffset] ^= 0x08;  // where the next packet is
    Write(packets_, chain);
    EXPECT_GE(Problems(), 1u);
    Bytes time = whole;
    time[block + kFirstPacketOffset + 5] ^= 0x01;  // seconds
    Write(packets_, time);
    EXPECT_GE(Problems(), 1u);
  }
  Bytes cut = whole;
  cut.resize(offsets_.back() + 100);
  Write(packets_, cut);
  EXPECT_GE(Problems(), 1u);
}

// Right checksums do not help an index of other packets.
TEST_F(VerifyTest, FindsTheIndexOfAnotherFile) {
  std::mt19937_64 random(5);
  testing::TestSegment other;
  for (int i = 0; i < 600; ++i) other.Add(testing::MakeRandomFrame(random));
  other.EndBlock();
  ASSERT_TRUE(SealSegment(other.Snapshot(), temp_.path() + "/index", "1"));
  EXPECT_EQ(Problems(), 1u);
}

TEST_F(VerifyTest, SaysWhenBlocksAreNotIndexed) {
  std::mt19937_64 random(6);
  Bytes longer = Read(packets_);
  const auto frame = testing::MakeRandomFrame(random);
  testing::BlockBuilder block;
  ASSERT_TRUE(block.Add(frame.bytes, testing::kTestStartNs + kNsPerSecond, frame.tag));
  const Bytes added = block.Finish(1, 7, longer.size(), 3);
  longer.insert(longer.end(), added.begin(), added.end());
  Write(packets_, longer);
  const FileReport report = Verify();
  EXPECT_EQ(report.problems, std::vector<std::string>());
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes.front().find("1 of 4 blocks"), std::string::npos) << report.notes.front();
}

// As a flood leaves it: full within the second block.
TEST_F(VerifyTest, AnIndexWithoutAllBlocksIsCheckedToo) {
  ASSERT_TRUE(RebuildIndex(packets_, temp_.path() + "/index", "1", {.max_pairs = 150, .before_read = {}}));
  const FileReport report = Verify();
  EXPECT_EQ(report.problems, std::vector<std::string>());
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes.front().find("of 3 blocks"), std::string::npos) << report.notes.front();

  std::mt19937_64 random(7);
  const Bytes whole = Read(index_);
  for (unsigned round = 0; round < 100; ++round) {
    Bytes damaged = whole;
    const size_t at = random() % damaged.size();
    damaged[at] ^= static_cast<uint8_t>(1u << random() % 8);
    Write(index_, damaged);
    EXPECT_EQ(Problems(), 1u) << "byte " << at;
  }
  // Right checksums, and not what the packets give.
  ASSERT_TRUE(RebuildIndex(packets_, temp_.path() + "/index", "1", {.max_pairs = 149, .before_read = {}}));
  EXPECT_EQ(Problems(), 0u);
  Bytes packets = Read(packets_);
  packets[offsets_[0] + kFirstPacketOffset + 82 + 7] ^= 1;   // a MAC address of the first packet
  packets[offsets_[0] + kFirstPacketOffset + 82 + 30] ^= 1;  // and one of its IP addresses
  Write(packets_, packets);
  EXPECT_EQ(Problems(), 1u);
}

TEST_F(VerifyTest, AFileThatIsGoneIsAnError) {
  std::filesystem::remove(packets_);
  EXPECT_FALSE(VerifyFile(packets_, index_));
}

}  // namespace
}  // namespace steno
