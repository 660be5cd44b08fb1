#include "index/google_v2.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <utility>

#include "base/file.h"
#include "index/google_v2_table.h"
#include "index/google_v2_test_table.h"
#include "index/segment.h"
#include "packet/wire.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::BigEndian;
using testing::Key;

constexpr uint32_t kMiB = 1 << 20;

using Numbers = std::vector<uint32_t>;

uint32_t Granule(uint32_t position) { return position / kGranuleBytes; }
Term Port(uint32_t first, uint32_t last) {
  return {.kind = TermKind::kPort, .addresses = {}, .first = first, .last = last};
}
Term Host(const char* first, const char* last) {
  return {.kind = TermKind::kAddress, .addresses = {ParseAddress(first).value(), ParseAddress(last).value()}};
}

class GoogleIndexTest : public ::testing::Test {
 protected:
  // Three blocks of four packets each: at 48, 20048, 40048 and 60048 of the block.
  static std::vector<BlockEntry> Blocks() {
    std::vector<BlockEntry> blocks;
    for (uint64_t i = 0; i < 3; ++i) {
      blocks.push_back({.file_offset = i * kMiB,
                        .first_ns = 0,
                        .last_ns = 9,
                        .packet_count = 4,
                        .used_bytes = 80'000,
                        .drops = 0,
                        .flags = 0});
    }
    return blocks;
  }
  static std::shared_ptr<const GoogleGaps> NoGaps() {
    GoogleGaps gaps;
    gaps.blocks = Blocks();
    return std::make_shared<const GoogleGaps>(std::move(gaps));
  }
  static uint32_t At(uint32_t block, uint32_t packet) { return block * kMiB + 48 + 20'000 * packet; }

  void Write() { testing::WriteGoogleTable(path_, lists_); }
  std::vector<uint32_t> Ask(const Term& term) {
    const auto index = OpenGoogleIndex(path_, NoGaps()).value();
    const auto match = index->Match(term);
    EXPECT_TRUE(match) << match.error().message;
    EXPECT_TRUE(match->must.Empty());
    auto granules = index->Granules(match->may).value();
    if (granules.size() < index->flow_count()) {
      for (const uint32_t granule : granules) EXPECT_EQ(index->FirstPacket(granule), First(granule));
    }
    return granules;
  }
  // The test's packets are one to a granule.
  static uint16_t First(uint32_t granule) {
    for (uint32_t block = 0; block < 3; ++block) {
      for (uint32_t packet = 0; packet < 4; ++packet) {
        if (Granule(At(block, packet)) == granule)
          return static_cast<uint16_t>(At(block, packet) % kGranuleBytes);
      }
    }
    return 0;
  }
  testing::TempDir temp_;
  const std::string path_ = temp_.path() + "/index";
  testing::GoogleLists lists_{{Key(1, 6, 1), {At(0, 0), At(0, 1), At(1, 0), At(1, 1), At(1, 2), At(1, 3)}},
                              {Key(1, 17, 1), {At(0, 2), At(0, 3), At(2, 0), At(2, 1), At(2, 2)}},
                              {Key(2, 53, 2), {At(0, 2)}},
                              {Key(2, 54, 2), {At(2, 1)}},
                              {Key(4, 0x0a000001, 4), {At(0, 0), At(1, 3)}},
                              {Key(4, 0x0a0000ff, 4), {At(1, 1)}},
                              {Key(6, 0x20010db800000000, 8) + Key(0, 5, 8).substr(1), {At(2, 2)}}};
};

TEST_F(GoogleIndexTest, FindsAddressesPortsAndProtocols) {
  Write();
  EXPECT_TRUE(IsLevelDbTable(path_));
  EXPECT_EQ(Ask(Host("10.0.0.1", "10.0.0.1")), (Numbers{Granule(At(0, 0)), Granule(At(1, 3))}));
  EXPECT_EQ(Ask(Host("10.0.0.0", "10.0.0.255")),
            (Numbers{Granule(At(0, 0)), Granule(At(1, 1)), Granule(At(1, 3))}));
  EXPECT_EQ(Ask(Host("10.0.0.2", "10.0.0.9")), Numbers());
  EXPECT_EQ(Ask(Host("2001:db8::", "2001:db8::ffff")), (Numbers{Granule(At(2, 2))}));
  EXPECT_EQ(Ask(Port(53, 53)), (Numbers{Granule(At(0, 2))}));
  EXPECT_EQ(Ask(Port(50, 60)), (Numbers{Granule(At(0, 2)), Granule(At(2, 1))}));
  EXPECT_EQ(Ask({.kind = TermKind::kProtocol, .addresses = {}, .first = 6, .last = 6}).size(), 6u);
}

TEST_F(GoogleIndexTest, TermsOfOtherHeadersMatchEverything) {
  Write();
  const auto index = OpenGoogleIndex(path_, NoGaps()).value();
  for (const TermKind kind :
       {TermKind::kLayer, TermKind::kVlan, TermKind::kMpls, TermKind::kEtherType, TermKind::kMac}) {
    EXPECT_EQ(index->Match({.kind = kind, .addresses = {}}).value().may.Count(), index->flow_count());
  }
}

// Tunnels, tags and extension headers may hide what is asked for; SCTP has ports that are not indexed.
TEST_F(GoogleIndexTest, PacketsOfMoreLayersAreAlwaysCandidates) {
  for (const std::string& key : {Key(1, 47, 1), Key(1, 4, 1), Key(1, 41, 1), Key(1, 44, 1), Key(2, 4789, 2),
                                 Key(2, 6081, 2), Key(2, 2152, 2), Key(5, 100, 4)}) {
    testing::GoogleLists before = lists_;
    lists_[key] = {At(2, 3)};
    Write();
    EXPECT_EQ(Ask(Host("10.0.0.2", "10.0.0.9")), (Numbers{Granule(At(2, 3))}));
    EXPECT_EQ(Ask(Port(53, 53)), (Numbers{Granule(At(0, 2)), Granule(At(2, 3))}));
    lists_ = before;
  }
  lists_[Key(1, 132, 1)] = {At(2, 3)};
  Write();
  EXPECT_EQ(Ask(Port(1, 1)), (Numbers{Granule(At(2, 3))}));
  EXPECT_EQ(Ask(Host("10.0.0.2", "10.0.0.9")), Numbers());
}

TEST_F(GoogleIndexTest, RefusesWhatIsNoIndex) {
  testing::WriteGoogleTable(path_, lists_, 1);
  EXPECT_EQ(OpenGoogleIndex(path_, NoGaps()).error().code, ErrorCode::kUnsupported);
  lists_[Key(4, 0x0a000001, 4)] = {3 * kMiB};
  Write();
  const auto index = OpenGoogleIndex(path_, NoGaps()).value();
  EXPECT_EQ(index->Match(Host("10.0.0.1", "10.0.0.1")).error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(OpenGoogleIndex(temp_.path() + "/none", NoGaps()));
}

TEST_F(GoogleIndexTest, AnyBytesAreSafe) {
  Write();
  std::string whole = ReadTextFile(path_, 1 << 20).value();
  std::mt19937_64 random(7);
  unsigned refused = 0;
  for (unsigned round = 0; round < 1500; ++round) {
    std::string bytes = whole.substr(0, random() % 10 == 0 ? random() % whole.size() : whole.size());
    for (uint64_t i = random() % 4; i-- > 0 && !bytes.empty();) {
      const size_t from_end = round % 2 == 0 ? std::min<size_t>(bytes.size(), 60) : bytes.size();
      bytes[bytes.size() - 1 - random() % from_end] = static_cast<char>(random());
    }
    const UniqueFd fd = OpenFile(path_, O_WRONLY | O_CREAT | O_TRUNC).value();
    ASSERT_TRUE(
        WriteFully(fd.get(), {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, 0, path_));
    const auto index = OpenGoogleIndex(path_, NoGaps());
    const bool answered =
        index && (*index)->Match(Host("0.0.0.0", "255.255.255.255")) && (*index)->Match(Port(0, 65535));
    refused += answered ? 0u : 1u;
  }
  EXPECT_GT(refused, 500u);
}

// A packet file of three blocks beside the index: a packet of TCP (whole), one of UDP (header cut off), ARP,
// LLDP, and IPv4 with half a header, each in a granule of its own.
class GoogleGapsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<uint8_t> bytes;
    for (uint32_t block = 0; block < 3; ++block) {
      testing::BlockBuilder builder(1 << 20);
      for (size_t i = 0; i < frames_.size(); ++i) {
        ASSERT_TRUE(builder.Add(frames_[i], 1'700'000'000'000'000'000));
        ASSERT_TRUE(builder.Add(filler_, 1'700'000'000'000'000'000));
      }
      const auto block_bytes = builder.FinishForeign();
      bytes.insert(bytes.end(), block_bytes.begin(), block_bytes.end());
    }
    const UniqueFd fd = OpenFile(file_path_, O_WRONLY | O_CREAT | O_TRUNC).value();
    ASSERT_TRUE(WriteFully(fd.get(), bytes, 0, file_path_));
    file_.emplace(PacketFile::Open(file_path_).value());
    blocks_ = file_->ListForeignBlocks().value().blocks;
    ASSERT_EQ(blocks_.size(), 3u);
    PacketWalkPositions(bytes);
    for (uint32_t block = 0; block < 3; ++block) {
      lists_[Key(1, 6, 1)].push_back(At(block, 0));
      lists_[Key(1, 17, 1)].push_back(At(block, 1));
      lists_[Key(2, 80, 2)].push_back(At(block, 0));
      for (size_t i = 0; i < frames_.size(); ++i) lists_[Key(1, 200, 1)].push_back(FillerAt(block, i));
    }
  }
  void PacketWalkPositions(const std::vector<uint8_t>& bytes) {
    for (const BlockEntry& block : blocks_) {
      PacketWalk walk(std::span<const uint8_t>(bytes).subspan(block.file_offset, block.used_bytes),
                      kKernelHeaderBytes, block.used_bytes, block.file_offset);
      while (const PacketView* packet = walk.Next())
        positions_.push_back(static_cast<uint32_t>(packet->file_offset));
    }
  }
  [[nodiscard]] uint32_t At(uint32_t block, size_t frame) const {
    return positions_[(block * frames_.size() + frame) * 2];
  }
  [[nodiscard]] uint32_t FillerAt(uint32_t block, size_t frame) const {
    return positions_[(block * frames_.size() + frame) * 2 + 1];
  }
  std::vector<uint32_t> Granules(size_t frame) const {
    std::vector<uint32_t> granules;
    for (uint32_t block = 0; block < 3; ++block) granules.push_back(At(block, frame) / kGranuleBytes);
    return granules;
  }
  static std::vector<uint32_t> Members(const FlowSet& set) {
    std::vector<uint32_t> members;
    set.ForEach([&](uint32_t granule) { members.push_back(granule); });
    return members;
  }
  Result<GoogleGaps> Find() {
    testing::WriteGoogleTable(path_, lists_);
    return FindGoogleGaps(path_, *file_, blocks_);
  }
  static std::vector<uint8_t> Cut(std::vector<uint8_t> frame, size_t bytes) {
    frame.resize(bytes);
    return frame;
  }

  testing::TempDir temp_;
  const std::string path_ = temp_.path() + "/index";
  const std::string file_path_ = temp_.path() + "/1700000000000000";
  const std::vector<std::vector<uint8_t>> frames_ = {
      testing::PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Tcp(80, 81).Build(),
      Cut(testing::PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(5, 6).Build(), 38),
      testing::PacketBuilder().Ethernet().Arp("10.0.0.3", "10.0.0.4").Build(),
      std::vector<uint8_t>{1, 0x80, 0xc2, 0, 0, 0xe, 2, 0, 0, 0, 0, 1, 0x88, 0xcc, 0, 0, 0, 0},
      testing::PacketBuilder().Ethernet().Pppoe().Ipv4("10.0.0.5", "10.0.0.6").Tcp(1, 2).Build()};
  const std::vector<uint8_t> filler_ =
      testing::PacketBuilder().Ethernet().Ipv4("10.0.0.9", "10.0.0.9").Protocol(200).Payload(19'000).Build();
  std::optional<PacketFile> file_;
  std::vector<BlockEntry> blocks_;
  std::vector<uint32_t> positions_;
  testing::GoogleLists lists_;
};

TEST_F(GoogleGapsTest, FindsPacketsOutsideOfTheLists) {
  const GoogleGaps gaps = Find().value();
  EXPECT_EQ(Members(gaps.portless), Granules(1));
  EXPECT_EQ(Members(gaps.arp), Granules(2));
  EXPECT_EQ(Members(gaps.unlisted), Granules(4));
  std::vector<uint16_t> first(gaps.first_packet.size(), kNoPacketInGranule);
  for (const uint32_t position : positions_) {
    uint16_t& at = first[Granule(position)];
    at = std::min(at, static_cast<uint16_t>(position % kGranuleBytes));
  }
  EXPECT_EQ(gaps.first_packet, first);
  for (const BlockEntry& block : gaps.blocks) EXPECT_EQ(block.flags, 0u);
}

TEST_F(GoogleGapsTest, AsksGapsForWhatIsInThem) {
  auto gaps = std::make_shared<const GoogleGaps>(Find().value());
  const auto index = OpenGoogleIndex(path_, gaps).value();
  const auto ask = [&](const Term& term) { return Members(index->Match(term).value().may); };
  const auto both = [&](size_t a, size_t b) {
    Numbers numbers = Granules(a);
    for (const uint32_t granule : Granules(b)) numbers.push_back(granule);
    std::ranges::sort(numbers);
    return numbers;
  };
  EXPECT_EQ(ask(Port(5, 6)), both(1, 4));
  EXPECT_EQ(ask(Host("10.0.0.3", "10.0.0.3")), both(2, 4));
  EXPECT_EQ(ask({.kind = TermKind::kProtocol, .addresses = {}, .first = 1, .last = 1}), Granules(4));
  EXPECT_EQ(ask({.kind = TermKind::kLayer, .layer_kinds = kLayerBitArp, .addresses = {}}), both(2, 4));
  EXPECT_EQ(
      ask({.kind = TermKind::kEtherType, .addresses = {}, .first = wire::kEtherArp, .last = wire::kEtherArp}),
      both(2, 4));
}

TEST_F(GoogleGapsTest, WithoutMemoryForThemBlocksAreReadWhole) {
  GoogleGaps gaps = Find().value();
  EXPECT_GT(gaps.bytes(), 0u);
  gaps.Shrink();
  EXPECT_EQ(gaps.bytes(), 0u);
  for (const BlockEntry& block : gaps.blocks) EXPECT_EQ(block.flags, uint32_t{kBlockUnindexed});
}

TEST_F(GoogleGapsTest, RefusesPlacesThatAreNone) {
  lists_[Key(1, 6, 1)].back() += 4;  // packets are aligned to 8 bytes
  EXPECT_EQ(Find().error().code, ErrorCode::kCorrupt);
  lists_[Key(1, 6, 1)].back() = 4 * kMiB;
  EXPECT_EQ(Find().error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace steno
