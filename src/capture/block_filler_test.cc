#include "capture/block_filler.h"

#include <gtest/gtest.h>
#include <linux/if_packet.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "capture/capture_fixture.h"
#include "capture/ring_block.h"
#include "capture/tpacket_ring.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

// The packets of `walk` in a block of ours.
std::vector<uint8_t> Refill(PacketWalk walk, size_t bytes) {
  std::vector<uint8_t> memory(bytes, 0xee);
  BlockFiller filler;
  filler.Begin(memory, 0, 0);
  while (const PacketView* packet = walk.Next()) {
    EXPECT_TRUE(filler.Add({.seconds = static_cast<uint32_t>(packet->time_ns / kNsPerSecond),
                            .nanoseconds = static_cast<uint32_t>(packet->time_ns % kNsPerSecond),
                            .original_bytes = packet->original_bytes,
                            .interface_index = packet->interface_index,
                            .frame = packet->frame}));
  }
  filler.Finish();
  return memory;
}

// The parts of packet headers that do not depend on the link's own state.
void ExpectSameHeaders(std::span<const uint8_t> kernel, std::span<const uint8_t> ours, uint32_t packets) {
  uint32_t at = kFirstPacketOffset;
  for (uint32_t packet = 0; packet < packets; ++packet) {
    tpacket3_hdr a{};
    tpacket3_hdr b{};
    std::memcpy(&a, kernel.data() + at, sizeof a);
    std::memcpy(&b, ours.data() + at, sizeof b);
    EXPECT_EQ(a.tp_next_offset, b.tp_next_offset) << packet;
    EXPECT_EQ(a.tp_sec, b.tp_sec);
    EXPECT_EQ(a.tp_nsec, b.tp_nsec);
    EXPECT_EQ(a.tp_snaplen, b.tp_snaplen);
    EXPECT_EQ(a.tp_len, b.tp_len);
    EXPECT_EQ(a.tp_mac, b.tp_mac);
    EXPECT_EQ(a.tp_net, b.tp_net);
    sockaddr_ll from{};
    sockaddr_ll made{};
    std::memcpy(&from, kernel.data() + at + 48, sizeof from);
    std::memcpy(&made, ours.data() + at + 48, sizeof made);
    EXPECT_EQ(from.sll_family, made.sll_family);
    EXPECT_EQ(from.sll_protocol, made.sll_protocol);
    EXPECT_EQ(from.sll_ifindex, made.sll_ifindex);
    EXPECT_EQ(from.sll_hatype, made.sll_hatype);
    EXPECT_EQ(from.sll_halen, made.sll_halen);
    EXPECT_EQ(std::memcmp(from.sll_addr, made.sll_addr, made.sll_halen), 0);
    EXPECT_EQ(std::memcmp(kernel.data() + at + a.tp_mac, ours.data() + at + a.tp_mac, a.tp_snaplen), 0);
    at += a.tp_next_offset;
  }
}

TEST(BlockFillerTest, LaysPacketsOutAsTheKernelDoes) {
  const std::string reason = InNetworkNamespace([] {
    RingOptions options;
    options.interface_name = "veth-rx";
    options.block_count = 8;
    auto ring = TPacketRing::Open(options);
    ASSERT_TRUE(ring) << ring.error().message;
    ASSERT_TRUE((*ring)->OpenGate());
    FrameSender("veth-tx").SendNumbered(0, 300);
    for (int tries = 0; tries < 200 && !(*ring)->OwnedByUser(0); ++tries) SleepMs(10);
    ASSERT_TRUE((*ring)->OwnedByUser(0));
    const auto block = (*ring)->Block(0);
    const KernelBlockHeader kernel = ReadKernelHeader(block);
    ASSERT_GT(kernel.packet_count, 10u);
    const auto used = block.first(kernel.used_bytes);
    const auto ours = Refill(PacketWalk(used, kFirstPacketOffset, used.size(), 0), block.size());
    const KernelBlockHeader filled = ReadKernelHeader(ours);
    EXPECT_EQ(filled.version, kernel.version);
    EXPECT_EQ(filled.private_offset, kernel.private_offset);
    EXPECT_EQ(filled.packet_count, kernel.packet_count);
    EXPECT_EQ(filled.first_packet_offset, kernel.first_packet_offset);
    EXPECT_EQ(filled.used_bytes, kernel.used_bytes);
    ExpectSameHeaders(block, ours, kernel.packet_count);
  });
  if (!reason.empty()) GTEST_SKIP() << reason;
}

TEST(BlockFillerTest, TakesWhatFitsAndLeavesNothingOfTheOldContent) {
  constexpr uint32_t kBytes = 16384;
  std::vector<uint8_t> memory(kBytes, 0xee);
  std::vector<uint8_t> frame(BlockFiller::MaxFrame(kBytes), 1);
  BlockFiller filler;
  EXPECT_TRUE(filler.idle());
  filler.Begin(memory, 7, 5 * kNsPerSecond + 6);
  EXPECT_TRUE(filler.Add({.original_bytes = 99999, .frame = frame}));
  EXPECT_FALSE(filler.Add({.frame = {}}));
  filler.Finish();
  EXPECT_TRUE(filler.idle());
  EXPECT_EQ(ReadKernelHeader(memory).used_bytes, kBytes);
  EXPECT_EQ(ReadKernelHeader(memory).sequence, 7u);
  EXPECT_EQ(ReadKernelHeader(memory).opened_sec, 5u);

  std::fill(memory.begin(), memory.end(), 0xee);
  filler.Begin(memory, 8, 0);
  for (size_t size = 0; size < 40; ++size) {
    EXPECT_TRUE(filler.Add({.frame = std::span(frame).first(size)}));
  }
  filler.Finish();
  const uint32_t used = ReadKernelHeader(memory).used_bytes;
  EXPECT_EQ(LoadLe<uint32_t>(memory.data() + offsetof(KernelBlockHeader, block_status)), 0xeeeeeeeeu);
  EXPECT_EQ(std::count(memory.begin() + kFirstPacketOffset, memory.begin() + used, 0xee), 0);
  PacketWalk walk({memory.data(), used}, kFirstPacketOffset, used, 0);
  size_t size = 0;
  while (const PacketView* packet = walk.Next()) EXPECT_EQ(packet->frame.size(), size++);
  EXPECT_TRUE(walk.status());
  EXPECT_EQ(size, 40u);
}

}  // namespace
}  // namespace steno
