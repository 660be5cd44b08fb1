// The sealed index as a file: how it appears, what damage does, how it is rebuilt.
#include "index/sealed_index.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "index/sealed_format.h"
#include "index/test_segment.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::TempDir;
using testing::TestSegment;

void Fill(TestSegment& segment, int packets, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < packets; ++i) {
    segment.Add(random() % 2 == 0 ? testing::MakeRandomFrame(random) : testing::MakeWideFrame(random));
  }
  segment.EndBlock();
}

std::string ReadAll(const std::string& path) { return ReadTextFile(path, 1 << 30).value(); }

void WriteAll(const std::string& path, std::string_view bytes) {
  const UniqueFd fd = OpenFile(path, O_WRONLY | O_CREAT).value();
  ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes.size())), 0);
  ASSERT_TRUE(WriteFully(fd.get(), {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, 0, path));
}

// Asks everything there is to ask; true if no answer was an error. Wrong answers are allowed, crashes are
// not.
bool AskEverything(const FlowIndex& index, std::mt19937_64& random) {
  bool good = true;
  for (int i = 0; i < 10; ++i) {
    const auto match = index.Match(testing::MakeRandomTerm(random));
    good &= match.has_value();
    if (!match) continue;
    EXPECT_EQ(match->may.size(), index.flow_count());
    good &= index.Granules(match->may).has_value();
  }
  good &= index.Granules(FlowSet(index.flow_count(), true)).has_value();
  (void)index.FirstPacket(static_cast<uint32_t>(random() % 100));
  return good;
}

TEST(SealedIndexTest, AppearsOnlyWhenComplete) {
  TestSegment segment;
  Fill(segment, 500, 1);
  const TempDir dir;
  WriteAll(dir.path() + "/.5", "left over by a crash");
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "5"));
  EXPECT_EQ(ListDirectory(dir.path()).value(), std::vector<std::string>{"5"});
  // Again, over the old one.
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "5"));
  EXPECT_TRUE(OpenSealedIndex(dir.path() + "/5"));
}

TEST(SealedIndexTest, AFileBeingWrittenIsLeftAlone) {
  TestSegment segment;
  const TempDir dir;
  const UniqueFd other = OpenFile(dir.path() + "/.5", O_RDWR | O_CREAT).value();
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  const Status status = SealSegment(segment.Snapshot(), dir.path(), "5");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(ListDirectory(dir.path()).value(), std::vector<std::string>{".5"});
}

TEST(SealedIndexTest, FailuresNameTheFile) {
  TestSegment segment;
  const Status status = SealSegment(segment.Snapshot(), "/nonexistent", "5");
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("/nonexistent/5"), std::string::npos) << status.error().message;
  EXPECT_FALSE(OpenSealedIndex("/nonexistent/5"));
  const TempDir dir;
  WriteAll(dir.path() + "/a", std::string(5000, 'x'));
  EXPECT_EQ(OpenSealedIndex(dir.path() + "/a").error().code, ErrorCode::kCorrupt);
  WriteAll(dir.path() + "/b", "");
  EXPECT_EQ(ReadIndexSummary(dir.path() + "/b").error().code, ErrorCode::kCorrupt);
}

TEST(SealedIndexTest, AnotherVersionIsUnsupported) {
  TestSegment segment;
  Fill(segment, 10, 2);
  const TempDir dir;
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
  std::string bytes = ReadAll(dir.path() + "/1");
  bytes[bytes.size() - sizeof(IndexFooter) + offsetof(IndexFooter, version)] = kIndexVersion + 1;
  WriteAll(dir.path() + "/1", bytes);
  EXPECT_EQ(OpenSealedIndex(dir.path() + "/1").error().code, ErrorCode::kUnsupported);
}

TEST(SealedIndexTest, ChecksumsFindEveryDamagedByte) {
  TestSegment segment;
  Fill(segment, 300, 3);
  const TempDir dir;
  const std::string path = dir.path() + "/1";
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
  const std::string good = ReadAll(path);
  std::mt19937_64 random(3);
  // Every address, so that every page of the dictionary and of the filter is read; every section once.
  const auto ask = [&](const FlowIndex& index) {
    bool all_good = true;
    for (int kind = 0; kind < 8; ++kind) {
      Term term;
      term.kind = static_cast<TermKind>(kind);
      term.last = UINT32_MAX;
      for (const Address& address : {Address::V4(0x0a000001), Address::V6(0, 0)}) {
        term.addresses = {address, address};
        all_good &= index.Match(term).has_value();
        term.addresses = Prefix(address, 0);
        all_good &= index.Match(term).has_value();
      }
    }
    return all_good & index.Granules(FlowSet(index.flow_count(), true)).has_value();
  };
  ASSERT_TRUE(ask(*OpenSealedIndex(path).value()));
  for (size_t at = sizeof(IndexHeader); at < good.size(); at += 1 + random() % 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    WriteAll(path, bad);
    const auto index = OpenSealedIndex(path);
    EXPECT_FALSE(index && ask(**index)) << "byte " << at << " of " << good.size();
  }
  for (int i = 0; i < 50; ++i) {
    WriteAll(path, std::string_view(good).substr(0, random() % good.size()));
    EXPECT_FALSE(OpenSealedIndex(path));
  }
}

// Without the checksums, which a forger would set right.
TEST(SealedIndexTest, AnyContentIsSafe) {
  std::mt19937_64 random(4);
  const TempDir dir;
  const std::string path = dir.path() + "/1";
  for (const int packets : {1, 40, 2000}) {
    TestSegment segment;
    Fill(segment, packets, 5);
    ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
    const std::string good = ReadAll(path);
    int errors = 0;
    for (int round = 0; round < 700; ++round) {
      std::string bad = good;
      // Small things at the end decide the most: sections, fences, counts.
      const size_t reach = round % 2 == 0 ? std::min<size_t>(bad.size(), 1500) : bad.size();
      for (size_t changes = 1 + random() % 6; changes > 0; --changes) {
        bad[bad.size() - 1 - random() % reach] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      }
      WriteAll(path, bad);
      const auto index = OpenSealedIndex(path, false);
      if (!index || !AskEverything(**index, random)) ++errors;
    }
    EXPECT_GT(errors, 70);
  }
}

TEST(RebuildIndexTest, GivesTheIndexThatTheWriterMade) {
  TestSegment segment;
  Fill(segment, 8000, 6);
  Fill(segment, 3000, 7);
  const TempDir dir;
  WriteAll(dir.path() + "/packets",
           {reinterpret_cast<const char*>(segment.file_bytes().data()), segment.file_bytes().size()});
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "sealed"));
  const Status rebuilt = RebuildIndex(dir.path() + "/packets", dir.path(), "rebuilt");
  ASSERT_TRUE(rebuilt) << rebuilt.error().message;
  EXPECT_TRUE(ReadAll(dir.path() + "/sealed") == ReadAll(dir.path() + "/rebuilt"));
  EXPECT_FALSE(RebuildIndex(dir.path() + "/none", dir.path(), "x"));
}

// As the incumbent writes them: 1 MiB apart, packets right behind the kernel's header.
TEST(RebuildIndexTest, ReadsForeignFiles) {
  std::mt19937_64 random(8);
  std::string file;
  uint32_t packets = 0;
  for (int i = 0; i < 2; ++i) {
    testing::BlockBuilder block;
    while (block.Add(testing::MakeWideFrame(random).bytes, testing::kTestStartNs + packets)) ++packets;
    const auto own = block.Block();
    std::vector<uint8_t> foreign(own.begin(), own.begin() + kKernelHeaderBytes);
    foreign.insert(foreign.end(), own.begin() + kFirstPacketOffset, own.end());
    KernelBlockHeader header;
    std::memcpy(&header, foreign.data(), sizeof header);
    header.first_packet_offset = kKernelHeaderBytes;
    header.used_bytes = static_cast<uint32_t>(foreign.size());
    std::memcpy(foreign.data(), &header, sizeof header);
    foreign.resize(kDefaultBlockBytes);
    file.append(foreign.begin(), foreign.end());
  }
  const TempDir dir;
  WriteAll(dir.path() + "/packets", file);
  const Status rebuilt = RebuildIndex(dir.path() + "/packets", dir.path(), "index");
  ASSERT_TRUE(rebuilt) << rebuilt.error().message;
  const IndexSummary summary = ReadIndexSummary(dir.path() + "/index").value();
  EXPECT_EQ(summary.packets, packets);
  EXPECT_EQ(summary.file_tag, 0u);
  EXPECT_EQ(summary.last_ns, testing::kTestStartNs + packets - 1);
  const auto index = OpenSealedIndex(dir.path() + "/index").value();
  EXPECT_EQ(index->blocks()[1].file_offset, kDefaultBlockBytes);
  EXPECT_EQ(index->FirstPacket(0), kKernelHeaderBytes);
  EXPECT_EQ(index->FirstPacket(kDefaultBlockBytes / kGranuleBytes), kKernelHeaderBytes);
}

}  // namespace
}  // namespace steno
