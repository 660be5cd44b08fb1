#include "query/read_units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "query/store_builder_test.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

using namespace steno::testing;
using ::testing::IsEmpty;

constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);

std::vector<uint64_t> Walk(const PacketFile& file, const ReadUnit& unit) {
  std::vector<uint8_t> bytes(unit.read_end - unit.read_begin);
  EXPECT_TRUE(file.Read(bytes, unit.read_begin));
  std::vector<uint64_t> starts;
  const size_t first = unit.from_block_start() ? kFirstPacketOffset : 0;
  PacketWalk walk(bytes, first, unit.starts_end - unit.read_begin, unit.read_begin);
  while (const PacketView* packet = walk.Next()) starts.push_back(packet->file_offset);
  EXPECT_TRUE(walk.status()) << walk.status().error().message;
  return starts;
}

TEST(ReadUnitsTest, UnitsHoldExactlyThePacketsOfTheGranules) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  StoreBuilder builder(1);
  builder.AddFile(0, kId, MakeBlocks(random, 6000, kTestStartNs, 1000, 100));
  Store store(builder.directories());
  OpenedFile opened = *store.Snapshot().at(0)->Open();
  ASSERT_TRUE(opened.index);
  std::vector<uint64_t> all;
  for (const BlockEntry& block : opened.blocks)
    std::ranges::copy(Walk(*opened.file, WholeBlock(block)), std::back_inserter(all));
  ASSERT_EQ(all.size(), 6000u);
  const auto granules = static_cast<uint32_t>(all.back() / kGranuleBytes + 1);

  for (int round = 0; round < 300; ++round) {
    const uint64_t density = 1 + random() % 20;
    std::vector<uint32_t> wanted;
    for (uint32_t granule = 0; granule < granules + 2; ++granule) {
      if (random() % density == 0) wanted.push_back(granule);
    }
    for (BlockEntry& block : opened.blocks) block.flags = random() % 10 == 0 ? kBlockUnindexed : uint32_t{0};
    const std::vector<ReadUnit> units = PlanGranules(opened.blocks, {}, *opened.index, wanted);
    std::multiset<uint64_t> found;
    for (const ReadUnit& unit : units) {
      ASSERT_LE(unit.block_begin, unit.read_begin);
      ASSERT_LE(unit.read_end, unit.block_end);
      for (const uint64_t start : Walk(*opened.file, unit)) {
        ASSERT_GE(start, unit.starts_begin);
        found.insert(start);
      }
    }
    for (const uint64_t start : all) {
      ASSERT_LE(found.count(start), 1u) << "twice: " << start;
      const auto block = std::ranges::find_if(opened.blocks, [&](const BlockEntry& entry) {
        return start >= entry.file_offset && start < entry.file_offset + entry.used_bytes;
      });
      const bool whole = block->flags != 0;
      const bool must = whole || std::ranges::binary_search(wanted, start / kGranuleBytes);
      if (must) {
        ASSERT_EQ(found.count(start), 1u) << "missing: " << start;
      }
      // Beyond the granules asked for only gaps of up to two granules between them are read.
      if (!must && found.contains(start)) {
        const auto after = std::ranges::upper_bound(wanted, start / kGranuleBytes);
        ASSERT_TRUE(after != wanted.begin() && after != wanted.end());
        ASSERT_LE(*after - *std::prev(after), 3u);
      }
    }
  }
}

TEST(ReadUnitsTest, BlocksOutsideTheTimeAreLeftOut) {
  std::vector<BlockEntry> blocks;
  for (int64_t i = 0; i < 10; ++i) {
    blocks.push_back({.file_offset = static_cast<uint64_t>(i) << 20,
                      .first_ns = i * 100,
                      .last_ns = i * 100 + 99,
                      .packet_count = 5,
                      .used_bytes = 5000,
                      .drops = 0,
                      .flags = 0});
  }
  const auto planned = [&](TimeRange range) {
    std::vector<int64_t> times;
    for (const ReadUnit& unit : PlanScan(blocks, range)) times.push_back(unit.first_ns);
    return times;
  };
  EXPECT_THAT(planned({250, 400}), ::testing::ElementsAre(200, 300));
  EXPECT_THAT(planned({299, 300}), ::testing::ElementsAre(200));
  EXPECT_THAT(planned({300, 300}), IsEmpty());
  EXPECT_THAT(planned({1000, INT64_MAX}), IsEmpty());
  EXPECT_EQ(planned({}).size(), 10u);
}

TEST(ReadUnitsTest, ImpossibleBlocksAreLeftOut) {
  BlockEntry block{.file_offset = 0,
                   .first_ns = 0,
                   .last_ns = 1,
                   .packet_count = 1,
                   .used_bytes = 47,
                   .drops = 0,
                   .flags = 0};
  EXPECT_THAT(PlanScan({&block, 1}, {}), IsEmpty());
  block.used_bytes = kMaxBlockBytes + 1;
  EXPECT_THAT(PlanScan({&block, 1}, {}), IsEmpty());
  block.used_bytes = 600;
  block.file_offset = UINT64_MAX - 10;
  EXPECT_THAT(PlanScan({&block, 1}, {}), IsEmpty());
}

}  // namespace
}  // namespace steno
