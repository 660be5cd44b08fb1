#include "index/packet_scout.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/bytes.h"
#include "index/builder.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"

namespace steno {
namespace {

using testing::BlockBuilder;
using Bytes = std::vector<uint8_t>;

Bytes MadeBlock(std::mt19937& random, unsigned packets) {
  BlockBuilder block;
  for (unsigned i = 0; i < packets; ++i) {
    const Bytes frame(60 + random() % 1455, static_cast<uint8_t>(i));
    if (!block.Add(frame, i)) break;
  }
  const auto made = block.Block();
  return {made.begin(), made.end()};
}

std::vector<uint32_t> Walked(std::span<const uint8_t> block) {
  std::vector<uint32_t> offsets;
  PacketWalk walk(block, kFirstPacketOffset, block.size(), 0);
  while (const PacketView* packet = walk.Next())
    offsets.push_back(static_cast<uint32_t>(packet->file_offset));
  return offsets;
}

std::vector<uint32_t> Scouted(const PacketScout& scout, const Bytes& block) {
  const auto offsets = scout.Offsets(block.data());
  return {offsets.begin(), offsets.end()};
}

TEST(PacketScout, FindsWhatAWalkFinds) {
  std::mt19937 random(11);
  PacketScout scout;
  for (unsigned round = 0; round < 20; ++round) {
    std::vector<Bytes> blocks;
    for (size_t i = 0; i < 1 + random() % (PacketScout::kMaxBlocks + 2); ++i)
      blocks.push_back(MadeBlock(random, static_cast<unsigned>(1 + random() % 3000)));
    const std::vector<std::span<const uint8_t>> spans(blocks.begin(), blocks.end());
    scout.Walk(spans, PacketScout::Aim::kOffsets);
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(Scouted(scout, blocks[i]),
                i < PacketScout::kMaxBlocks ? Walked(blocks[i]) : std::vector<uint32_t>());
    }
  }
}

TEST(PacketScout, StaysInsideDamagedBlocks) {
  std::mt19937 random(12);
  PacketScout scout;
  const Bytes whole = MadeBlock(random, 40);
  for (unsigned round = 0; round < 3000; ++round) {
    // Its own allocation, so that a sanitizer sees every byte too far.
    Bytes block(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(random() % (whole.size() + 1)));
    for (unsigned i = 0; i < 4 && !block.empty(); ++i) {
      const size_t at = random() % std::min<size_t>(block.size(), round % 2 == 0 ? 64 : block.size());
      block[at] = static_cast<uint8_t>(random());
    }
    scout.Walk({{std::span<const uint8_t>(block)}}, PacketScout::Aim::kSummaries);
    scout.Walk({{std::span<const uint8_t>(block)}}, PacketScout::Aim::kOffsets);
    for (const uint32_t offset : scout.Offsets(block.data())) EXPECT_LT(offset, block.size());
  }
}

// With many blocks at once, and where one was damaged: a summary is either that of the walk or is not given.
TEST(PacketScout, SummarisesAsTheWalkDoes) {
  std::mt19937 random(14);
  IndexBuilder plain = IndexBuilder::Create().value();
  plain.Begin(nullptr);
  PacketScout scout;
  unsigned given = 0;
  for (unsigned round = 0; round < 300; ++round) {
    std::vector<Bytes> blocks;
    for (unsigned i = 0; i < PacketScout::kMaxBlocks; ++i)
      blocks.push_back(MadeBlock(random, static_cast<unsigned>(1 + random() % 60)));
    Bytes& damaged = blocks[round % blocks.size()];
    if (round % 2 == 1) damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    const std::vector<std::span<const uint8_t>> spans(blocks.begin(), blocks.end());
    scout.Walk(spans, PacketScout::Aim::kSummaries);
    for (const Bytes& block : blocks) {
      const BlockSummary* const summary = scout.Summary(block);
      ASSERT_TRUE(summary != nullptr || &block == &damaged);
      if (summary == nullptr) continue;
      const BlockSummary walked = plain.AddBlock(block, 0, 0);
      // What only the walk looks at in a damaged header does not count here.
      if (&block == &damaged && walked.packets < summary->packets) continue;
      EXPECT_EQ(summary->packets, walked.packets);
      EXPECT_EQ(summary->first_ns, walked.first_ns);
      EXPECT_EQ(summary->last_ns, walked.last_ns);
      EXPECT_EQ(summary->captured_bytes, walked.captured_bytes);
      ++given;
    }
  }
  EXPECT_GT(given, 300u * (PacketScout::kMaxBlocks - 1) - 1);
}

// The builder's answer does not depend on what it was told beforehand, be it wrong.
TEST(PacketScout, IsOnlyAHint) {
  std::mt19937 random(13);
  Bytes block = MadeBlock(random, 500);
  IndexBuilder builder = IndexBuilder::Create().value();
  builder.Begin(nullptr);
  const BlockSummary plain = builder.AddBlock(block, 0, 0);
  builder.LookAhead({{std::span<const uint8_t>(block)}});
  const Bytes other = MadeBlock(random, 300);
  std::copy(other.begin(), other.begin() + std::min(other.size(), block.size()), block.begin());
  const BlockSummary hinted = builder.AddBlock(std::span(block).first(other.size()), 0, 0);
  EXPECT_EQ(plain.packets, 500u);
  EXPECT_EQ(hinted.packets, 300u);
}

}  // namespace
}  // namespace steno
