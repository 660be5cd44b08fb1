#include "capture/block_gatherer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "capture/capture_fixture.h"
#include "capture/ring_block.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"

namespace steno {
namespace {

using testing::BlockBuilder;

struct Sent {
  int64_t time_ns;
  std::vector<uint8_t> frame;
  StrippedTag tag;
};

void ExpectPackets(std::span<const uint8_t> memory, std::span<const Sent> sent) {
  const KernelBlockHeader header = ReadKernelHeader(memory);
  EXPECT_EQ(header.packet_count, sent.size());
  EXPECT_EQ(header.first_packet_offset, kFirstPacketOffset);
  PacketWalk walk(memory.first(header.used_bytes), kFirstPacketOffset, header.used_bytes, 0);
  size_t count = 0;
  while (const PacketView* packet = walk.Next()) {
    ASSERT_LT(count, sent.size());
    const Sent& expected = sent[count++];
    EXPECT_EQ(packet->time_ns, expected.time_ns);
    EXPECT_EQ(std::vector<uint8_t>(packet->frame.begin(), packet->frame.end()), expected.frame);
    EXPECT_EQ(packet->tag.present, expected.tag.present);
    EXPECT_EQ(packet->tag.tci, expected.tag.tci);
  }
  EXPECT_TRUE(walk.status()) << walk.status().error().message;
  EXPECT_EQ(count, sent.size());
}

TEST(BlockGathererTest, KeepsEveryPacketTimeAndTagInOrder) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  auto gatherer = BlockGatherer::Create();
  ASSERT_TRUE(gatherer);
  std::vector<Sent> sent;
  int64_t time_ns = 1'700'000'000'000'000'000;
  unsigned written = 0;
  for (int round = 0; round < 300; ++round) {
    BlockBuilder builder;
    std::vector<Sent> block;
    for (uint64_t left = 1 + random() % 30; left > 0; --left) {
      time_ns += static_cast<int64_t>(random() % 1'000'000);
      StrippedTag tag;
      tag.present = random() % 4 == 0;
      if (tag.present) tag.tci = static_cast<uint16_t>(random() % 4096);
      Sent packet{time_ns, NumberedFrame(static_cast<uint32_t>(random())), tag};
      if (random() % 2 == 0) packet.frame.resize(1 + random() % packet.frame.size());
      ASSERT_TRUE(builder.Add(packet.frame, packet.time_ns, tag));
      block.push_back(std::move(packet));
    }
    if (!gatherer->Add(builder.Block(), round)) {
      ExpectPackets(gatherer->Filled(), sent);
      const unsigned buffer = gatherer->filled_buffer();
      gatherer->Detach();
      EXPECT_TRUE(gatherer->empty());
      sent.clear();
      ++written;
      ASSERT_TRUE(gatherer->Add(builder.Block(), round));
      EXPECT_NE(gatherer->filled_buffer(), buffer) << "a buffer in flight was filled again";
      EXPECT_EQ(gatherer->oldest_ns(), round);
      gatherer->Release(buffer);
    }
    sent.insert(sent.end(), block.begin(), block.end());
  }
  ExpectPackets(gatherer->Filled(), sent);
  EXPECT_GE(written, 2u);
}

TEST(BlockGathererTest, RefusesWhenAllBuffersAreInFlight) {
  auto gatherer = BlockGatherer::Create();
  ASSERT_TRUE(gatherer);
  BlockBuilder builder;
  ASSERT_TRUE(builder.Add(NumberedFrame(1), 5));
  for (unsigned buffer = 0; buffer < kGatherBuffers; ++buffer) {
    ASSERT_TRUE(gatherer->Add(builder.Block(), 0));
    gatherer->Detach();
  }
  EXPECT_FALSE(gatherer->Add(builder.Block(), 0));
  EXPECT_TRUE(gatherer->empty());
  gatherer->Release(1);
  EXPECT_TRUE(gatherer->Add(builder.Block(), 0));
  EXPECT_EQ(gatherer->filled_buffer(), 1u);
}

TEST(BlockGathererTest, RefusesABlockWhoseChainIsDamaged) {
  auto gatherer = BlockGatherer::Create();
  ASSERT_TRUE(gatherer);
  BlockBuilder builder;
  for (uint32_t number = 0; number < 3; ++number) ASSERT_TRUE(builder.Add(NumberedFrame(number), 5));
  const auto block = builder.Block();
  for (const uint32_t next : {0u, 0x7fffffffu}) {
    std::memcpy(block.data() + kFirstPacketOffset, &next, sizeof next);
    EXPECT_FALSE(gatherer->Add(block, 0));
    EXPECT_TRUE(gatherer->empty());
  }
}

TEST(RingBlockTest, TruncateKeepsTheFirstPackets) {
  for (uint32_t keep = 1; keep <= 5; ++keep) {
    BlockBuilder builder;
    std::vector<Sent> sent;
    for (uint32_t number = 0; number < 5; ++number) {
      sent.push_back({1000 + number, NumberedFrame(number), {}});
      ASSERT_TRUE(builder.Add(sent.back().frame, sent.back().time_ns));
    }
    const auto block = builder.Block();
    EXPECT_EQ(FirstPacketNs(block), 1000);
    TruncateBlock(block, keep);
    ExpectPackets(block, std::span(sent).first(keep));
  }
}

}  // namespace
}  // namespace steno
