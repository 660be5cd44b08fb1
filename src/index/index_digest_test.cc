// Digests against the packets that went into the index.
#include "index/index_digest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <set>

#include "base/file.h"
#include "index/raw_index.h"
#include "index/test_segment.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::TempDir;
using testing::TestSegment;

std::set<Address> AddressesIn(const TestSegment& segment) {
  std::set<Address> addresses;
  for (const auto& packet : segment.packets()) {
    for (unsigned i = 0; i < packet.headers.layer_count; ++i) {
      addresses.insert(packet.headers.layers[i].src);
      addresses.insert(packet.headers.layers[i].dst);
    }
  }
  return addresses;
}

IndexDigest DigestOf(const std::string& path) {
  IndexDigest digest;
  EXPECT_TRUE(ReadIndexSummary(path, &digest));
  return digest;
}

TEST(IndexDigestTest, KnowsEveryAddressAndFewOthers) {
  std::mt19937_64 random(1);
  TestSegment segment;
  for (int i = 0; i < 20000; ++i) segment.Add(testing::MakeWideFrame(random));
  segment.EndBlock();
  const TempDir dir;
  const std::string path = dir.path() + "/1";
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
  IndexDigest digest = DigestOf(path);
  ASSERT_FALSE(digest.empty());
  ASSERT_TRUE(digest.has_filters());

  const std::set<Address> addresses = AddressesIn(segment);
  for (const Address& address : addresses) {
    ASSERT_TRUE(digest.MayHold(address)) << ToString(address);
    ASSERT_TRUE(digest.Holds(path, address).value()) << ToString(address);
  }
  int others = 0;
  int passed = 0;
  for (int i = 0; i < 5000; ++i) {
    const Address address = testing::RandomAddress(random);
    if (addresses.contains(address)) continue;
    ++others;
    passed += digest.MayHold(address) ? 1 : 0;
    ASSERT_FALSE(digest.Holds(path, address).value()) << ToString(address);
  }
  for (const Address& outside :
       {Address::V4(0), Address::V4(UINT32_MAX), Address::V6(0, 0), Address::V6(~0ull, ~0ull)})
    EXPECT_FALSE(digest.Holds(path, outside).value());
  EXPECT_GT(others, 1000);
  EXPECT_LT(passed, others / 20);

  const uint64_t whole = digest.bytes();
  digest.DropFilters();
  EXPECT_LT(digest.bytes(), whole / 5);
  EXPECT_TRUE(digest.MayHold(Address::V4(0))) << "it cannot tell any more";
  EXPECT_FALSE(digest.Holds(path, Address::V4(0)).value());
}

TEST(IndexDigestTest, AFamilyWithoutAddressesIsKnown) {
  TestSegment segment;
  segment.Add({.bytes = testing::PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(1, 2).Build(),
               .tag = {}});
  segment.EndBlock();
  const TempDir dir;
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
  const IndexDigest digest = DigestOf(dir.path() + "/1");
  EXPECT_FALSE(digest.MayHold(Address::V6(1, 1)));
  EXPECT_FALSE(digest.Holds(dir.path() + "/1", Address::V6(1, 1)).value());
}

// Where headers were cut off, or blocks are not indexed, or the index is raw, no address can be ruled out.
TEST(IndexDigestTest, KnowsWhenItDoesNotKnow) {
  const TempDir dir;
  TestSegment cut_off;
  std::vector<uint8_t> nested = testing::PacketBuilder()
                                    .Ethernet()
                                    .Ipv4("10.0.0.1", "10.0.0.2")
                                    .Ipv4("10.0.0.1", "10.0.0.2")
                                    .Ipv4("10.0.0.1", "10.0.0.2")
                                    .Ipv4("10.0.0.1", "10.0.0.2")
                                    .Ipv4("10.0.0.1", "10.0.0.2")
                                    .Ipv4("10.0.0.1", "10.0.0.9")
                                    .Udp(1, 2)
                                    .Build();
  cut_off.Add({.bytes = nested, .tag = {}});
  cut_off.EndBlock();
  ASSERT_TRUE(SealSegment(cut_off.Snapshot(), dir.path(), "1"));
  EXPECT_TRUE(DigestOf(dir.path() + "/1").empty());

  TestSegment unindexed;
  std::mt19937_64 random(2);
  unindexed.Add(testing::MakeWideFrame(random));
  unindexed.EndBlock();
  unindexed.segment().blocks[0].entry.flags |= kBlockUnindexed;
  ASSERT_TRUE(SealSegment(unindexed.Snapshot(), dir.path(), "2"));
  EXPECT_TRUE(DigestOf(dir.path() + "/2").empty());
  EXPECT_TRUE(DigestOf(dir.path() + "/2").MayHold(Address::V4(1)));
  EXPECT_TRUE(DigestOf(dir.path() + "/2").Holds(dir.path() + "/2", Address::V4(1)).value());

  ASSERT_TRUE(WriteRawIndex(unindexed.Snapshot(), dir.path(), "3"));
  EXPECT_TRUE(DigestOf(dir.path() + "/3").empty());
}

TEST(IndexDigestTest, DamageIsNotTakenForAnAnswer) {
  TestSegment segment;
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) segment.Add(testing::MakeWideFrame(random));
  segment.EndBlock();
  const TempDir dir;
  const std::string path = dir.path() + "/1";
  ASSERT_TRUE(SealSegment(segment.Snapshot(), dir.path(), "1"));
  const IndexDigest digest = DigestOf(path);
  const Address address = *AddressesIn(segment).begin();
  std::string bytes = ReadTextFile(path, 1 << 30).value();
  for (char& byte : bytes) byte = static_cast<char>(byte ^ 1);
  std::ofstream(path) << bytes;
  EXPECT_EQ(digest.Holds(path, address).error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(digest.Holds(dir.path() + "/none", address));
}

}  // namespace
}  // namespace steno
