#include "index/packet_scout.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/bytes.h"
#include "index/builder.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using testing::BlockBuilder;
using testing::PacketBuilder;
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

// What the index needs of a packet.
struct Found {
  uint32_t offset;
  Bytes key;
  bool operator==(const Found&) const = default;
};

struct Walked {
  std::vector<Found> packets;
  BlockSummary summary;
};

Walked WalkOf(std::span<const uint8_t> block) {
  Walked walked;
  PacketWalk walk(block, kFirstPacketOffset, block.size(), 0);
  FlowKey key;
  while (const PacketView* packet = walk.Next()) {
    FrameToFlowKey(packet->frame, packet->tag, key);
    const auto bytes = key.view();
    walked.packets.push_back({static_cast<uint32_t>(packet->file_offset), {bytes.begin(), bytes.end()}});
    walked.summary.Add(packet->time_ns, packet->frame.size());
  }
  return walked;
}

Walked ScoutOf(PacketScout& scout, std::span<const uint8_t> block, PacketScout::Aim aim) {
  Walked scouted;
  PacketScout::Chain& chain = scout.Take(block, aim);
  do {
    const auto memory = chain.packets();
    for (size_t at = 0; at < memory.size();) {
      const ScoutedPacket& packet = ScoutedPacket::At(memory.data() + at);
      const auto key = packet.key.view();
      scouted.packets.push_back({packet.offset, {key.begin(), key.end()}});
      at += packet.stored_bytes();
    }
  } while (scout.Next(chain));
  scouted.summary = chain.summary();
  return scouted;
}

void ExpectSame(const Walked& scouted, const Walked& walked) {
  EXPECT_EQ(scouted.packets, walked.packets);
  EXPECT_EQ(scouted.summary.packets, walked.summary.packets);
  EXPECT_EQ(scouted.summary.first_ns, walked.summary.first_ns);
  EXPECT_EQ(scouted.summary.last_ns, walked.summary.last_ns);
  EXPECT_EQ(scouted.summary.captured_bytes, walked.summary.captured_bytes);
}

// Announced or not, beside others or alone, damaged or whole, for either aim.
TEST(PacketScout, FindsWhatAWalkFinds) {
  std::mt19937 random(11);
  PacketScout scout = PacketScout::Create().value();
  for (unsigned round = 0; round < 100; ++round) {
    std::vector<Bytes> blocks;
    for (size_t i = 0; i < 1 + random() % (PacketScout::kMaxBlocks + 2); ++i)
      blocks.push_back(
          MadeBlock(random, static_cast<unsigned>(1 + random() % (round % 10 == 0 ? 3000 : 60))));
    Bytes& damaged = blocks[round % blocks.size()];
    if (round % 2 == 1) {
      const size_t at = kFirstPacketOffset + random() % (damaged.size() - kFirstPacketOffset);
      damaged[at] ^= static_cast<uint8_t>(1u << random() % 8);
    }
    const std::vector<std::span<const uint8_t>> spans(blocks.begin(), blocks.end());
    const auto announced = round % 3 == 0 ? PacketScout::Aim::kSummary : PacketScout::Aim::kPackets;
    scout.Walk(spans, announced);
    for (const Bytes& block : blocks) {
      const Walked walked = WalkOf(block);
      ExpectSame(ScoutOf(scout, block, PacketScout::Aim::kPackets), walked);
      EXPECT_EQ(ScoutOf(scout, block, PacketScout::Aim::kSummary).summary.packets, walked.summary.packets);
    }
  }
}

// More packets than fit into memory, and keys of every kind and size.
TEST(PacketScout, GoesOnWhereMemoryEnded) {
  BlockBuilder block(kMaxBlockBytes);
  std::mt19937 random(15);
  for (unsigned i = 0; i < 20'000; ++i) {
    PacketBuilder packet;
    packet.Ethernet();
    if (i % 7 == 0) packet.Vlan(static_cast<uint16_t>(i % 4096)).Vlan(7);
    if (i % 3 == 0) {
      packet.Ipv6("2001:db8::1", "2001:db8::2").Udp(static_cast<uint16_t>(i), 53);
    } else {
      packet.Ipv4("10.0.0.1", "10.0.0.2").Tcp(static_cast<uint16_t>(i), 80);
    }
    ASSERT_TRUE(block.Add(packet.Build(), i));
  }
  PacketScout scout = PacketScout::Create().value();
  const Walked walked = WalkOf(block.Block());
  EXPECT_EQ(walked.packets.size(), 20'000u);
  ExpectSame(ScoutOf(scout, block.Block(), PacketScout::Aim::kPackets), walked);
  scout.Walk({{block.Block()}}, PacketScout::Aim::kPackets);
  ExpectSame(ScoutOf(scout, block.Block(), PacketScout::Aim::kPackets), walked);
}

TEST(PacketScout, StaysInsideDamagedBlocks) {
  std::mt19937 random(12);
  PacketScout scout = PacketScout::Create().value();
  const Bytes whole = MadeBlock(random, 40);
  for (unsigned round = 0; round < 3000; ++round) {
    // Its own allocation, so that a sanitizer sees every byte too far.
    Bytes block(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(random() % (whole.size() + 1)));
    for (unsigned i = 0; i < 4 && !block.empty(); ++i) {
      const size_t at = random() % std::min<size_t>(block.size(), round % 2 == 0 ? 64 : block.size());
      block[at] = static_cast<uint8_t>(random());
    }
    scout.Walk({{std::span<const uint8_t>(block)}}, PacketScout::Aim::kPackets);
    for (const Found& packet : ScoutOf(scout, block, PacketScout::Aim::kPackets).packets)
      EXPECT_LT(packet.offset, block.size());
  }
}

// What was announced counts once: memory that is used again is looked at again.
TEST(PacketScout, LooksAgainAtABlockThatWasTaken) {
  std::mt19937 random(13);
  Bytes block = MadeBlock(random, 500);
  IndexBuilder builder = IndexBuilder::Create().value();
  builder.Begin(nullptr);
  builder.LookAhead({{std::span<const uint8_t>(block)}});
  EXPECT_EQ(builder.AddBlock(block, 0, 0).packets, 500u);
  BlockBuilder other;
  ASSERT_TRUE(other.Add(Bytes(60), 1));
  std::ranges::copy(other.Block(), block.begin());
  EXPECT_EQ(builder.AddBlock(block, 0, 0).packets, 1u);
}

}  // namespace
}  // namespace steno
