#include "index/packet_scout.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <utility>
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

// Now and then one of a few plain flows, else something that is none.
Bytes MadeFrame(std::mt19937& random, unsigned number) {
  const size_t bytes = random() % 1400;
  if (random() % 2 == 0) return Bytes(60 + bytes, static_cast<uint8_t>(number));
  PacketBuilder packet;
  packet.Ethernet();
  random() % 3 == 0 ? packet.Ipv6("2001:db8::1", "2001:db8::2") : packet.Ipv4("10.0.0.1", "10.0.0.2");
  return packet.Udp(static_cast<uint16_t>(1 + random() % 80), 53).Payload(bytes).Build();
}

Bytes MadeBlock(std::mt19937& random, unsigned packets) {
  BlockBuilder block;
  for (unsigned i = 0; i < packets; ++i) {
    const Bytes frame = MadeFrame(random, i);
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

Walked ScoutOf(PacketScout& scout, std::span<const uint8_t> block, uint64_t file_offset,
               PacketScout::Aim aim = PacketScout::Aim::kPackets) {
  Walked scouted;
  PacketScout::Chain& chain = scout.Take(block, file_offset, aim);
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

// All packets that matter were noted, each as it is: a packet may be left out if one of the same plain flow
// was noted for its granule before.
void ExpectAllThatMatter(const Walked& scouted, const Walked& walked, uint64_t file_offset) {
  std::set<std::pair<uint64_t, Bytes>> noted;
  auto next = scouted.packets.begin();
  for (const Found& packet : walked.packets) {
    const std::pair pair((file_offset + packet.offset) / kGranuleBytes, packet.key);
    if (next != scouted.packets.end() && next->offset == packet.offset) {
      ASSERT_EQ(*next, packet);
      noted.insert(pair);
      ++next;
    } else {
      ASSERT_TRUE(noted.contains(pair)) << "the packet at " << packet.offset << " is the first of its flow";
    }
  }
  EXPECT_TRUE(next == scouted.packets.end()) << "a packet at " << next->offset;
  EXPECT_EQ(scouted.summary.packets, walked.summary.packets);
  EXPECT_EQ(scouted.summary.first_ns, walked.summary.first_ns);
  EXPECT_EQ(scouted.summary.last_ns, walked.summary.last_ns);
  EXPECT_EQ(scouted.summary.captured_bytes, walked.summary.captured_bytes);
}

uint64_t OnDisk(const Bytes& block) { return AlignUp(block.size(), kDiskAlignment); }

// Announced or not, at the place that was expected or elsewhere, beside others or alone, damaged or whole,
// for either aim.
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
    uint64_t file_offset = random() % 100 * kDiskAlignment;
    scout.Walk(spans, file_offset, announced);
    for (const Bytes& block : blocks) {
      if (random() % 10 == 0) file_offset += kDiskAlignment;
      const Walked walked = WalkOf(block);
      ExpectAllThatMatter(ScoutOf(scout, block, file_offset), walked, file_offset);
      const auto summary = ScoutOf(scout, block, file_offset, PacketScout::Aim::kSummary).summary;
      EXPECT_EQ(summary.packets, walked.summary.packets);
      file_offset += OnDisk(block);
    }
  }
}

// More packets that matter than fit into memory, and keys of every kind and size.
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
  ExpectAllThatMatter(ScoutOf(scout, block.Block(), 0), walked, 0);
  scout.Walk({{block.Block()}}, 0, PacketScout::Aim::kPackets);
  const Walked scouted = ScoutOf(scout, block.Block(), 0);
  EXPECT_EQ(scouted.packets.size(), 20'000u) << "each is a flow of its own";
  ExpectAllThatMatter(scouted, walked, 0);
}

// Of a few flows little is noted: once per granule, wherever the block begins in one.
TEST(PacketScout, NotesAFlowOncePerGranule) {
  constexpr uint64_t kFlows = 3;
  BlockBuilder block;
  for (unsigned i = 0; i < 5000; ++i) {
    PacketBuilder packet;
    packet.Ethernet();
    i % kFlows == 0 ? packet.Ipv6("2001:db8::1", "2001:db8::2") : packet.Ipv4("10.0.0.1", "10.0.0.2");
    packet.Udp(static_cast<uint16_t>(1 + i % kFlows), 53).Payload(60);
    ASSERT_TRUE(block.Add(packet.Build(), i));
  }
  PacketScout scout = PacketScout::Create().value();
  for (const uint64_t file_offset : {0u, 4096u, 12288u}) {
    scout.Walk({{block.Block()}}, file_offset, PacketScout::Aim::kPackets);
    const Walked scouted = ScoutOf(scout, block.Block(), file_offset);
    const uint64_t last = file_offset + block.Block().size();
    const uint64_t granules = last / kGranuleBytes + 1 - (file_offset + kFirstPacketOffset) / kGranuleBytes;
    EXPECT_GE(scouted.packets.size(), (granules - 1) * kFlows);
    EXPECT_LE(scouted.packets.size(), granules * kFlows);
  }
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
    scout.Walk({{std::span<const uint8_t>(block)}}, 0, PacketScout::Aim::kPackets);
    for (const Found& packet : ScoutOf(scout, block, 0).packets) EXPECT_LT(packet.offset, block.size());
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
