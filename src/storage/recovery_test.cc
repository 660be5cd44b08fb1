#include "storage/recovery.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <random>
#include <thread>

#include "base/file.h"
#include "storage/output_file.h"
#include "storage/packet_file.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

constexpr uint64_t kFileId = 1'700'000'000'000'000;
const std::string kFinalName = "1700000000000000";
const std::string kHiddenName = ".1699999999000000";

class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryReport Recover() {
    auto report = RecoverDirectory(packets_, indexes_);
    EXPECT_TRUE(report) << report.error().message;
    return *report;
  }
  [[nodiscard]] std::string Packet(const std::string& name) const { return packets_ + "/" + name; }
  [[nodiscard]] std::string Index(const std::string& name) const { return indexes_ + "/" + name; }

  testing::TempDir dir_;
  const std::string packets_ = dir_.Make("packets");
  const std::string indexes_ = dir_.Make("index");
};

TEST_F(RecoveryTest, PublishesTheValidPrefixUnderTheFilesName) {
  TestFile file = MakeTestFile(1, 10);
  const std::vector<uint8_t> whole = file.bytes;
  file.bytes.resize(file.bytes.size() + (4 << 20));
  WriteTestFile(Packet(kHiddenName), file.bytes);
  const std::array<timespec, 2> old{{{1000, 0}, {2000, 0}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, Packet(kHiddenName).c_str(), old.data(), 0), 0);

  const RecoveryReport report = Recover();
  ASSERT_EQ(report.published.size(), 1u);
  EXPECT_EQ(report.published[0].name, kFinalName);
  EXPECT_EQ(report.published[0].valid_bytes, whole.size());
  EXPECT_EQ(report.published[0].packets, file.packets.size());
  EXPECT_TRUE(report.problems.empty());
  EXPECT_FALSE(Exists(Packet(kHiddenName)));
  EXPECT_EQ(ReadTestFile(Packet(kFinalName)), whole);
  struct stat info{};
  ASSERT_EQ(::stat(Packet(kFinalName).c_str(), &info), 0);
  EXPECT_EQ(info.st_mtime, 2000) << "as old as its packets";
  EXPECT_TRUE(Recover().published.empty()) << "nothing left to do";
}

TEST_F(RecoveryTest, ATakenNameIsNotReplaced) {
  WriteTestFile(Packet(kFinalName), {1, 2, 3});
  WriteTestFile(Packet(kHiddenName), MakeTestFile(2, 2).bytes);
  const RecoveryReport report = Recover();
  ASSERT_EQ(report.published.size(), 1u);
  EXPECT_EQ(report.published[0].name, "1700000000000001");
  EXPECT_EQ(ReadTestFile(Packet(kFinalName)).size(), 3u);
}

TEST_F(RecoveryTest, RemovesWhatHoldsNothing) {
  WriteTestFile(Packet(".1"), {});
  WriteTestFile(Packet(".2"), std::vector<uint8_t>(1'000'000));
  const RecoveryReport report = Recover();
  EXPECT_EQ(report.removed_empty, 2u);
  EXPECT_TRUE(ListDirectory(packets_)->empty());
}

TEST_F(RecoveryTest, LeavesGarbageForAPerson) {
  WriteTestFile(Packet(".1"), std::vector<uint8_t>(10'000, 'x'));
  const RecoveryReport report = Recover();
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find(Packet(".1")), std::string::npos);
  EXPECT_EQ(ReadTestFile(Packet(".1")).size(), 10'000u);
}

TEST_F(RecoveryTest, LeavesFilesOfALivingWriterAlone) {
  const auto file = PrepareFile(packets_, 1 << 20, 4096);
  ASSERT_TRUE(file);
  WriteTestFile(Index(".5"), {1});
  const auto index = OpenFile(Index(".5"), O_RDWR);
  ASSERT_EQ(::flock(index->get(), LOCK_EX), 0);
  const RecoveryReport report = Recover();
  EXPECT_EQ(report.in_use, 2u);
  EXPECT_EQ(report.removed_empty, 0u);
  EXPECT_TRUE(Exists(Packet(file->hidden_name)));
  EXPECT_TRUE(Exists(Index(".5")));
}

TEST_F(RecoveryTest, TouchesNoForeignNames) {
  for (const char* name : {".bashrc", "notes", ".1.tmp", "."}) {
    if (std::string(name) != ".") WriteTestFile(Packet(name), {1});
    if (std::string(name) != ".") WriteTestFile(Index(name), {1});
  }
  ASSERT_EQ(::mkdir(Packet(".7").c_str(), 0700), 0);
  const RecoveryReport report = Recover();
  EXPECT_EQ(report.problems.size(), 1u) << "a directory under a hidden packet file's name";
  EXPECT_EQ(ListDirectory(packets_)->size(), 4u);
  EXPECT_EQ(ListDirectory(indexes_)->size(), 3u);
}

TEST_F(RecoveryTest, RemovesUnfinishedAndOrphanIndexes) {
  for (const char* name : {"100", "300"}) WriteTestFile(Packet(name), {1});
  for (const char* name : {"50", "100", "200", "300", "400", ".500"}) WriteTestFile(Index(name), {1});
  for (const char* name : {"50", "200"}) MakeOld(Index(name));
  WriteTestFile(Index("60"), {1});  // its packet file may be about to be published
  Recover();
  for (const char* name : {"60", "100", "300", "400"}) EXPECT_TRUE(Exists(Index(name))) << name;
  for (const char* name : {"50", "200", ".500"}) EXPECT_FALSE(Exists(Index(name))) << name;
}

TEST_F(RecoveryTest, KeepsTheIndexOfAFileThatItPublishes) {
  WriteTestFile(Packet("1800000000000000"), {1});
  WriteTestFile(Packet(kHiddenName), MakeTestFile(3, 2).bytes);
  WriteTestFile(Index(kFinalName), {1});
  EXPECT_EQ(Recover().published.size(), 1u);
  EXPECT_TRUE(Exists(Index(kFinalName)));
}

TEST_F(RecoveryTest, PublishesFilesOfTheIncumbentUnderTheirOwnNumber) {
  TestFile file = MakeForeignFile(4, 2, 10);
  file.bytes.resize(file.bytes.size() + (3 << 20));
  WriteTestFile(Packet(".1600000000000000"), file.bytes);
  const RecoveryReport report = Recover();
  ASSERT_EQ(report.published.size(), 1u);
  EXPECT_EQ(report.published[0].name, "1600000000000000");
  EXPECT_EQ(report.published[0].valid_bytes, 2u << 20);
  EXPECT_EQ(report.published[0].packets, 20u);
}

TEST_F(RecoveryTest, AMissingDirectoryIsAnError) {
  EXPECT_FALSE(RecoverDirectory(packets_ + "/gone", indexes_));
  EXPECT_FALSE(RecoverDirectory(packets_, indexes_ + "/gone"));
}

// A crash at any point of the writing: at every 4096 bytes and at random bytes between.
TEST_F(RecoveryTest, ACrashAnywhereCostsOnlyWhatWasNotWritten) {
  const TestFile file = MakeTestFile(5, 8, kFileId, 9, 8192);
  std::mt19937_64 random(6);
  std::vector<size_t> cuts;
  for (size_t cut = 0; cut <= file.bytes.size(); cut += 4096) cuts.push_back(cut);
  for (int i = 0; i < 60; ++i) cuts.push_back(random() % file.bytes.size());
  for (const size_t cut : cuts) {
    SCOPED_TRACE(cut);
    std::vector<uint8_t> bytes = file.bytes;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(cut), bytes.end(), uint8_t{0});
    WriteTestFile(Packet(kHiddenName), bytes);
    // A block counts from the moment that its headers are there, whose packets may then end early.
    size_t blocks = 0;
    while (blocks < 8 && file.block_offsets[blocks] + kFirstPacketOffset <= cut) ++blocks;
    const RecoveryReport report = Recover();
    EXPECT_FALSE(Exists(Packet(kHiddenName)) && report.problems.empty());
    // A header that is cut off may still be whole: its end is zeros anyway.
    if (report.published.empty()) {
      EXPECT_EQ(blocks, 0u);
    } else {
      const auto table = PacketFile::Open(Packet(kFinalName))->WalkBlocks();
      ASSERT_TRUE(table);
      EXPECT_GE(table->blocks.size(), blocks);
      EXPECT_LE(table->blocks.size(), blocks + 1);
      EXPECT_TRUE(table->clean);
    }
    ::unlink(Packet(kFinalName).c_str());
    ::unlink(Packet(kHiddenName).c_str());
  }
}

TEST_F(RecoveryTest, SurvivesAnyDamage) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TestFile file = MakeTestFile(seed, 4, kFileId, 9, 4096, 300);
    for (int i = 0; i < 5; ++i) file.bytes[random() % file.bytes.size()] = static_cast<uint8_t>(random());
    file.bytes.resize(random() % (file.bytes.size() + 1));
    WriteTestFile(Packet(kHiddenName), file.bytes);
    const RecoveryReport report = Recover();
    EXPECT_LE(report.published.size() + report.removed_empty + report.problems.size(), 1u);
    EXPECT_GE(report.published.size() + report.removed_empty + report.problems.size(), 1u);
    for (const RecoveredFile& recovered : report.published) ::unlink(Packet(recovered.name).c_str());
    ::unlink(Packet(kHiddenName).c_str());
  }
}

// A server and a writer that start together, while files are being prepared: each crashed file is published
// once, no file in use disappears.
TEST_F(RecoveryTest, SeveralAtOnceAndAWriterDoNotHurtEachOther) {
  for (uint64_t round = 0; round < 10; ++round) {
    for (uint64_t i = 0; i < 8; ++i) {
      WriteTestFile(Packet("." + std::to_string(100 + i)), MakeTestFile(i + 1, 2, kFileId + 1000 * i).bytes);
    }
    std::array<RecoveryReport, 2> reports;
    std::vector<OutputFile> prepared;
    {
      std::jthread a([&] { reports[0] = Recover(); });
      std::jthread b([&] { reports[1] = Recover(); });
      for (int i = 0; i < 20; ++i) {
        auto file = PrepareFile(packets_, 4096, 4096);
        EXPECT_TRUE(file);
        prepared.push_back(std::move(*file));
      }
    }
    EXPECT_EQ(reports[0].published.size() + reports[1].published.size(), 8u);
    EXPECT_TRUE(reports[0].problems.empty() && reports[1].problems.empty());
    for (OutputFile& file : prepared) {
      EXPECT_TRUE(Exists(Packet(file.hidden_name)));
      EXPECT_TRUE(DiscardFile(std::move(file)));
    }
    const auto left = ListDirectory(packets_);
    for (const auto& name : *left) ::unlink(Packet(name).c_str());
  }
}

}  // namespace
}  // namespace steno
