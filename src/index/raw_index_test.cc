// Raw indexes: what they keep, how they become sealed ones, and that their bytes are not trusted.
#include "index/raw_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "base/file.h"
#include "index/sealer.h"
#include "index/test_segment.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::TestSegment;

std::string ReadAll(const std::string& path) { return ReadTextFile(path, uint64_t{1} << 30).value(); }
void WriteAll(const std::string& path, const std::string& bytes) { std::ofstream(path) << bytes; }

void Fill(TestSegment& segment, size_t packets) {
  std::mt19937_64 random(packets);
  for (size_t i = 0; i < packets; ++i) segment.Add(testing::MakeWideFrame(random));
  segment.EndBlock();
}

TEST(RawIndexTest, BecomesTheIndexThatSealingWouldHaveMade) {
  TestSegment segment;
  Fill(segment, 5000);
  const TempDir dir;
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "sealed"));
  ASSERT_TRUE(WriteRawIndex(segment.Snapshot(), dir.path(), "raw"));
  const IndexSummary raw = ReadIndexSummary(dir.path() + "/raw").value();
  const IndexSummary sealed = ReadIndexSummary(dir.path() + "/sealed").value();
  EXPECT_TRUE(raw.raw);
  EXPECT_FALSE(sealed.raw);
  EXPECT_EQ(raw.packets, 5000u);
  EXPECT_EQ(raw.flows, sealed.flows);
  EXPECT_EQ(raw.first_ns, sealed.first_ns);
  EXPECT_EQ(raw.last_ns, sealed.last_ns);
  EXPECT_EQ(raw.packet_file_bytes, sealed.packet_file_bytes);

  const auto open_before = OpenSealedIndex(dir.path() + "/raw").value();
  const Status compacted = CompactIndex(dir.path(), "raw");
  ASSERT_TRUE(compacted) << compacted.error().message;
  EXPECT_TRUE(ReadAll(dir.path() + "/raw") == ReadAll(dir.path() + "/sealed"));
  EXPECT_TRUE(open_before->Match(Term{})) << "who has it open keeps it";
  EXPECT_THAT(CompactIndex(dir.path(), "raw").error().message, HasSubstr("not raw"));
}

TEST(RawIndexTest, ASegmentWithoutPacketsIsAllowed) {
  const TempDir dir;
  ASSERT_TRUE(WriteRawIndex(SegmentSnapshot{}, dir.path(), "1"));
  const auto index = OpenSealedIndex(dir.path() + "/1").value();
  EXPECT_EQ(index->flow_count(), 0u);
  EXPECT_TRUE(index->Granules(FlowSet(0)).value().empty());
  EXPECT_TRUE(CompactIndex(dir.path(), "1"));
}

TEST(RawIndexTest, FailuresNameTheFile) {
  const Status status = WriteRawIndex(SegmentSnapshot{}, "/nonexistent", "5");
  EXPECT_THAT(status.error().message, HasSubstr("/nonexistent/5"));
}

// Damaged in any way, it is asked and sealed without harm.
TEST(RawIndexTest, AnyContentIsSafe) {
  TestSegment segment;
  Fill(segment, 300);
  const TempDir dir;
  ASSERT_TRUE(WriteRawIndex(segment.Snapshot(), dir.path(), "1"));
  const std::string path = dir.path() + "/1";
  const std::string good = ReadAll(path);
  std::mt19937_64 random(5);
  for (int round = 0; round < 500; ++round) {
    std::string bad = good;
    const size_t reach = round % 2 == 0 ? std::min<size_t>(bad.size(), 900) : bad.size();
    for (size_t changes = 1 + random() % 6; changes > 0; --changes)
      bad[bad.size() - 1 - random() % reach] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    WriteAll(path, bad);
    auto file = SealedFile::Open(path, false);
    if (!file || !(*file)->raw()) continue;
    auto raw = RawSegment::Load(std::move(*file));
    if (!raw) continue;
    (void)SealSegment((*raw)->snapshot(), dir.path(), "sealed");
    const auto index = MakeRawIndex(std::move(*raw));
    for (int i = 0; i < 10; ++i) {
      const auto match = index->Match(testing::MakeRandomTerm(random)).value();
      const auto granules = index->Granules(match.may).value();
      for (const uint32_t granule : granules) (void)index->FirstPacket(granule);
    }
  }
}

TEST(SealerTest, GivesUpWhenItIsHurried) {
  TestSegment segment;
  Fill(segment, 500);
  const TempDir dir;
  Sealer sealer = Sealer::Create().value();
  for (int allowed = 0; allowed < 4; ++allowed) {
    int asked = 0;
    const Status status =
        sealer.Seal(segment.Snapshot(), dir.path(), "1", [&] { return asked++ == allowed; });
    if (status) {
      EXPECT_GE(allowed, 2) << "asked only " << asked << " times";
      break;
    }
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_TRUE(ListDirectory(dir.path()).value().empty());
  }
  EXPECT_TRUE(sealer.Seal(segment.Snapshot(), dir.path(), "1", [] { return false; }));
}

TEST(SealerTest, SaysWhenItsMemoryIsTooSmall) {
  TestSegment segment;
  Fill(segment, 500);
  const TempDir dir;
  Sealer sealer = Sealer::Create(4096).value();
  EXPECT_EQ(sealer.Seal(segment.Snapshot(), dir.path(), "1").error().code, ErrorCode::kExhausted);
  EXPECT_TRUE(ListDirectory(dir.path()).value().empty());
}

// The memory that stenotype has for it is enough for as many flows as a segment holds, of either family.
TEST(SealerTest, ItsMemoryIsEnoughForAFullSegment) {
  for (const bool ipv6 : {false, true}) {
    TestSegment segment;
    std::mt19937_64 random(7);
    auto frame =
        ipv6 ? testing::PacketBuilder().Ethernet().Ipv6("2001:db8::1", "2001:db8::2").Udp(1, 2).Build()
             : testing::PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(1, 2).Build();
    const size_t address_at = ipv6 ? 14 + 8 : 14 + 12;
    const size_t address_bytes = ipv6 ? 32 : 8;  // of both
    testing::BlockBuilder block;
    uint64_t offset = 0;
    uint32_t blocks = 0;
    while (!segment.builder().full()) {
      block.Clear();
      do {
        for (size_t at = 0; at < address_bytes; at += 8) StoreLe(frame.data() + address_at + at, random());
      } while (block.Add(frame, testing::kTestStartNs));
      segment.builder().AddBlock(block.Block(), offset, 0);
      offset += AlignUp(block.Block().size(), kDiskAlignment);
      ++blocks;
    }
    segment.builder().Publish(blocks);
    EXPECT_GT(segment.Snapshot().Fill(), 0.999);
    const TempDir dir;
    Sealer sealer = Sealer::Create().value();
    const Status sealed = sealer.Seal(segment.Snapshot(), dir.path(), "1");
    EXPECT_TRUE(sealed) << sealed.error().message;
  }
}

}  // namespace
}  // namespace steno
