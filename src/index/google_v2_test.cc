#include "index/google_v2.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/table_builder.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/bytes.h"
#include "base/file.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using Lists = std::map<std::string, std::vector<uint32_t>>;

std::string Key(uint8_t attribute, uint64_t value, size_t bytes) {
  std::string key(1, static_cast<char>(attribute));
  for (size_t i = bytes; i-- > 0;) key += static_cast<char>(value >> (8 * i));
  return key;
}

std::string BigEndian(uint32_t number) { return Key(0, number, 4).substr(1); }

// As stenotype of the incumbent writes it.
void WriteTable(const std::string& path, const Lists& lists, uint32_t version = 2) {
  leveldb::WritableFile* file = nullptr;
  ASSERT_TRUE(leveldb::Env::Default()->NewWritableFile(path, &file).ok());
  const std::unique_ptr<leveldb::WritableFile> owned(file);
  leveldb::Options options;
  options.compression = leveldb::kNoCompression;
  leveldb::TableBuilder builder(options, file);
  builder.Add(leveldb::Slice("\0", 1), BigEndian(version) + BigEndian(0));
  for (const auto& [key, positions] : lists) {
    std::string value;
    for (const uint32_t position : positions) value += BigEndian(position);
    builder.Add(key, value);
  }
  ASSERT_TRUE(builder.Finish().ok());
  ASSERT_TRUE(file->Close().ok());
}

constexpr uint32_t kMiB = 1 << 20;

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
  static uint32_t At(uint32_t block, uint32_t packet) { return block * kMiB + 48 + 20'000 * packet; }
  static uint32_t Granule(uint32_t position) { return position / kGranuleBytes; }

  void Write() { WriteTable(path_, lists_); }
  std::vector<uint32_t> Ask(const Term& term) {
    const auto index = OpenGoogleIndex(path_, Blocks()).value();
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
  static Term Port(uint32_t first, uint32_t last) {
    return {.kind = TermKind::kPort, .addresses = {}, .first = first, .last = last};
  }
  static Term Host(const char* first, const char* last) {
    return {.kind = TermKind::kAddress,
            .addresses = {ParseAddress(first).value(), ParseAddress(last).value()}};
  }

  testing::TempDir temp_;
  const std::string path_ = temp_.path() + "/index";
  Lists lists_{{Key(1, 6, 1), {At(0, 0), At(0, 1), At(1, 0), At(1, 1), At(1, 2), At(1, 3)}},
               {Key(1, 17, 1), {At(0, 2), At(0, 3), At(2, 0), At(2, 1), At(2, 2)}},
               {Key(2, 53, 2), {At(0, 2)}},
               {Key(2, 54, 2), {At(2, 1)}},
               {Key(4, 0x0a000001, 4), {At(0, 0), At(1, 3)}},
               {Key(4, 0x0a0000ff, 4), {At(1, 1)}},
               {Key(6, 0x20010db800000000, 8) + Key(0, 5, 8).substr(1), {At(2, 2)}}};
};

using Numbers = std::vector<uint32_t>;

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
  const auto index = OpenGoogleIndex(path_, Blocks()).value();
  for (const TermKind kind :
       {TermKind::kLayer, TermKind::kVlan, TermKind::kMpls, TermKind::kEtherType, TermKind::kMac}) {
    EXPECT_EQ(index->Match({.kind = kind, .addresses = {}}).value().may.Count(), index->flow_count());
  }
}

// Tunnels, tags and extension headers may hide what is asked for; SCTP has ports that are not indexed.
TEST_F(GoogleIndexTest, PacketsOfMoreLayersAreAlwaysCandidates) {
  for (const std::string& key : {Key(1, 47, 1), Key(1, 4, 1), Key(1, 41, 1), Key(1, 44, 1), Key(2, 4789, 2),
                                 Key(2, 6081, 2), Key(2, 2152, 2), Key(5, 100, 4)}) {
    Lists before = lists_;
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

TEST_F(GoogleIndexTest, BlocksWithOtherPacketsAreReadWhole) {
  Write();
  const auto blocks = MarkGoogleUnindexed(path_, Blocks()).value();
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[0].flags, 0u);
  EXPECT_EQ(blocks[1].flags, 0u);
  EXPECT_EQ(blocks[2].flags, uint32_t{kBlockUnindexed});  // its fourth packet is in no list
}

TEST_F(GoogleIndexTest, RefusesWhatIsNoIndex) {
  WriteTable(path_, lists_, 1);
  EXPECT_EQ(OpenGoogleIndex(path_, Blocks()).error().code, ErrorCode::kUnsupported);
  lists_[Key(4, 0x0a000001, 4)] = {3 * kMiB};
  Write();
  const auto index = OpenGoogleIndex(path_, Blocks()).value();
  EXPECT_EQ(index->Match(Host("10.0.0.1", "10.0.0.1")).error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(OpenGoogleIndex(temp_.path() + "/none", Blocks()));
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
    const auto index = OpenGoogleIndex(path_, Blocks());
    const auto marked = MarkGoogleUnindexed(path_, Blocks());
    const bool answered = index && marked && (*index)->Match(Host("0.0.0.0", "255.255.255.255")) &&
                          (*index)->Match(Port(0, 65535));
    refused += answered ? 0u : 1u;
  }
  EXPECT_GT(refused, 500u);
}

}  // namespace
}  // namespace steno
