#include "storage/packet_view.h"

#include <gtest/gtest.h>
#include <linux/if_packet.h>

#include <cstring>
#include <random>

#include "base/bytes.h"
#include "storage/storage_fixture.h"
#include "testing/block_builder.h"

namespace steno {
namespace {

constexpr size_t kNextOffset = offsetof(tpacket3_hdr, tp_next_offset);
constexpr size_t kMac = offsetof(tpacket3_hdr, tp_mac);
constexpr size_t kSnaplen = offsetof(tpacket3_hdr, tp_snaplen);
constexpr size_t kStatus = offsetof(tpacket3_hdr, tp_status);

// A block with two packets of 60 and 100 bytes.
std::vector<uint8_t> TwoPackets(const StrippedTag& tag = {}) {
  testing::BlockBuilder builder(8192);
  EXPECT_TRUE(builder.Add(std::vector<uint8_t>(60, 1), 5'000'000'007, tag, 1500, 3));
  EXPECT_TRUE(builder.Add(std::vector<uint8_t>(100, 2), 6'000'000'008));
  const auto block = builder.Block();
  return {block.begin(), block.end()};
}

PacketWalk WalkAll(std::span<const uint8_t> block) {
  return PacketWalk(block, kFirstPacketOffset, block.size(), 40960);
}

TEST(PacketWalk, FindsEveryFieldOfEveryPacket) {
  const auto block = TwoPackets({true, 0x2005, 0x88a8});
  auto walk = WalkAll(block);
  const PacketView* packet = walk.Next();
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(packet->time_ns, 5'000'000'007);
  EXPECT_EQ(packet->original_bytes, 1500u);
  EXPECT_EQ(packet->frame.size(), 60u);
  EXPECT_EQ(packet->frame[59], 1);
  EXPECT_EQ(packet->interface_index, 3u);
  EXPECT_EQ(packet->file_offset, 40960u + 512);
  EXPECT_TRUE(packet->tag.present);
  EXPECT_EQ(packet->tag.tci, 0x2005);
  EXPECT_EQ(packet->tag.tpid, 0x88a8);
  packet = walk.Next();
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(packet->time_ns, 6'000'000'008);
  EXPECT_EQ(packet->original_bytes, 100u);
  EXPECT_FALSE(packet->tag.present);
  EXPECT_EQ(packet->file_offset, 40960u + 512 + 144);  // 82 + 60, rounded up to 8
  EXPECT_EQ(walk.Next(), nullptr);
  EXPECT_EQ(walk.Next(), nullptr);
  EXPECT_TRUE(walk.status());
}

// Kernels before 3.14 give no TPID, and a tag of priority 0 for VLAN 0 is still a tag.
TEST(PacketWalk, GoesByTheStatusFlagsOfTheTag) {
  auto block = TwoPackets({true, 0, 0x88a8});
  StoreLe(block.data() + kFirstPacketOffset + kStatus, uint32_t{TP_STATUS_USER | TP_STATUS_VLAN_VALID});
  auto walk = WalkAll(block);
  const PacketView* packet = walk.Next();
  ASSERT_NE(packet, nullptr);
  EXPECT_TRUE(packet->tag.present);
  EXPECT_EQ(packet->tag.tpid, 0x8100);
}

TEST(PacketWalk, StopsAtPacketsThatStartAtOrAfterTheEnd) {
  const auto block = TwoPackets();
  PacketWalk one(block, kFirstPacketOffset, kFirstPacketOffset + 144, 0);
  EXPECT_NE(one.Next(), nullptr);
  EXPECT_EQ(one.Next(), nullptr);
  EXPECT_TRUE(one.status());
  PacketWalk two(block, kFirstPacketOffset, kFirstPacketOffset + 145, 0);
  EXPECT_NE(two.Next(), nullptr);
  EXPECT_NE(two.Next(), nullptr);
  PacketWalk none(block, kFirstPacketOffset, kFirstPacketOffset, 0);
  EXPECT_EQ(none.Next(), nullptr);
  EXPECT_TRUE(none.status());
}

struct Damage {
  const char* name;
  size_t field;
  size_t bytes;
  uint32_t value;
  unsigned packets_before;  // that are still returned
};

class DamagedPacket : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedPacket, EndsTheWalkWithAnError) {
  auto block = TwoPackets();
  std::memcpy(block.data() + kFirstPacketOffset + GetParam().field, &GetParam().value, GetParam().bytes);
  auto walk = WalkAll(block);
  unsigned packets = 0;
  while (walk.Next() != nullptr) ++packets;
  EXPECT_EQ(packets, GetParam().packets_before);
  ASSERT_FALSE(walk.status());
  EXPECT_EQ(walk.status().error().code, ErrorCode::kCorrupt);
}

INSTANTIATE_TEST_SUITE_P(All, DamagedPacket,
                         ::testing::Values(Damage{"MacInHeader", kMac, 2, 67, 0},
                                           Damage{"MacZero", kMac, 2, 0, 0},
                                           Damage{"MacOutside", kMac, 2, 0xffff, 0},
                                           Damage{"SnaplenOutside", kSnaplen, 4, 8192, 0},
                                           Damage{"SnaplenHuge", kSnaplen, 4, 0xffffffff, 0},
                                           Damage{"SnaplenIntoNext", kSnaplen, 4, 70, 0},
                                           Damage{"NextUnaligned", kNextOffset, 4, 145, 0},
                                           Damage{"NextBackwards", kNextOffset, 4, 8, 0},
                                           Damage{"NextIntoFrame", kNextOffset, 4, 136, 0}),
                         [](const auto& test) { return test.param.name; });

TEST(PacketWalk, ReportsAPacketCutOffByTheBuffer) {
  const auto block = TwoPackets();
  for (size_t size = kFirstPacketOffset; size < block.size(); ++size) {
    PacketWalk walk({block.data(), size}, kFirstPacketOffset, block.size(), 0);
    unsigned packets = 0;
    while (walk.Next() != nullptr) ++packets;
    const bool whole = size >= kFirstPacketOffset + 144 + 82 + 100;  // the rest is padding
    EXPECT_EQ(packets, whole ? 2u : size >= kFirstPacketOffset + 142 ? 1u : 0u) << size;
    EXPECT_EQ(walk.status().has_value(), whole) << size;
  }
}

TEST(PacketWalk, ReturnsWhatWasWritten) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    const TestFile file = MakeTestFile(seed, 1);
    auto walk = PacketWalk(file.bytes, kFirstPacketOffset, file.bytes.size(), 0);
    for (const TestPacket& expected : file.packets) {
      const PacketView* packet = walk.Next();
      ASSERT_NE(packet, nullptr);
      EXPECT_EQ(packet->time_ns, expected.time_ns);
      EXPECT_TRUE(std::equal(packet->frame.begin(), packet->frame.end(), expected.frame.begin(),
                             expected.frame.end()));
    }
    EXPECT_EQ(walk.Next(), nullptr);
    EXPECT_TRUE(walk.status());
  }
}

// Under the address sanitizer this proves that no damage leads outside of the buffer.
TEST(PacketWalk, SurvivesRandomDamage) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TestFile file = MakeTestFile(seed, 1, 1, 1, 4096, 300);
    for (int i = 0; i < 4; ++i) file.bytes[random() % file.bytes.size()] = static_cast<uint8_t>(random());
    const size_t size = random() % (file.bytes.size() + 1);
    const std::vector<uint8_t> cut(file.bytes.begin(),
                                   file.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    PacketWalk walk(cut, random() % 1024, file.bytes.size(), 0);
    uint64_t sum = 0;
    uint64_t last = 0;
    while (const PacketView* packet = walk.Next()) {
      for (const uint8_t byte : packet->frame) sum += byte;
      EXPECT_TRUE(last == 0 || packet->file_offset > last);
      last = packet->file_offset;
    }
    EXPECT_LE(sum, 255 * file.bytes.size());
  }
}

}  // namespace
}  // namespace steno
