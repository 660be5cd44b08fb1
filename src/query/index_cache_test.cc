// What is kept of indexes in memory: its limit, and that queries lose nothing by it.
#include "query/index_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "index/sealed_index.h"
#include "query/parse.h"
#include "query/store_builder_test.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using testing::Answer;
using testing::Ask;
using testing::Difference;
using testing::IndexKind;
using testing::kTestStartNs;
using testing::MakeBlocks;
using testing::StoreBuilder;
using testing::TestBlocks;
using testing::TestPacket;

constexpr uint64_t kId = kTestStartNs / 1000;
constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kFiles = 40;
constexpr uint64_t kSmallCache = kFiles * 150;  // for the fences of all files and a few filters

ExpressionPtr Host(const std::string& address) { return ParseQuery("host " + address, kTestStartNs).value(); }

// Files 10 ms apart, each with an address that no other has: 10.1.0.<file>.
class IndexCacheTest : public ::testing::Test {
 protected:
  IndexCacheTest() : builder_(1) {
    std::mt19937_64 random(1);
    for (uint64_t file = 0; file < kFiles; ++file) {
      TestBlocks blocks;
      blocks.emplace_back();
      for (int i = 0; i < 20; ++i) {
        const int64_t time = kTestStartNs + static_cast<int64_t>(file) * 10 * kMs + i;
        const std::string source = "10.1.0." + std::to_string(file);
        const auto frame = testing::PacketBuilder().Ethernet().Ipv4(source, "10.2.0.1").Udp(1, 2).Build();
        blocks.back().push_back({.time_ns = time, .frame = frame, .tag = {}, .original_bytes = 60});
      }
      builder_.AddFile(0, kId + file * 10'000, blocks);
    }
  }

  StoreBuilder builder_;
};

TEST_F(IndexCacheTest, KeepsWithinItsLimitAndFiltersOfTheNewestFiles) {
  IndexCache cache(0);
  std::vector<IndexDigest> digests(3);
  for (size_t i = 0; i < digests.size(); ++i)
    ASSERT_TRUE(ReadIndexSummary(builder_.IndexPath(0, kId + i * 10'000), &digests[i]));
  const uint64_t whole = digests[0].bytes();
  IndexDigest fences = digests[0];
  fences.DropFilters();
  ASSERT_LT(fences.bytes(), whole);
  EXPECT_EQ(cache.Add(1, digests[0])->digest(), nullptr) << "nothing fits into nothing";
  EXPECT_EQ(cache.totals().bytes, 0u);

  IndexCache small(whole + 2 * fences.bytes());
  const auto second = small.Add(2, digests[1]);
  auto third = small.Add(3, digests[2]);
  const auto first = small.Add(1, digests[0]);
  EXPECT_FALSE(first->digest()->has_filters());
  EXPECT_FALSE(second->digest()->has_filters());
  EXPECT_TRUE(third->digest()->has_filters());
  EXPECT_EQ(small.totals().files_with_filters, 1u);
  EXPECT_EQ(small.totals().files_with_fences, 2u);
  EXPECT_EQ(small.totals().evictions, 2u);
  EXPECT_LE(small.totals().bytes, small.totals().limit_bytes);
  const auto in_use = third->digest();
  third.reset();
  EXPECT_EQ(small.totals().files_with_filters, 0u);
  EXPECT_TRUE(in_use->has_filters());
  const auto fourth = small.Add(4, digests[0]);
  EXPECT_TRUE(fourth->digest()->has_filters()) << "there is room again";
}

TEST_F(IndexCacheTest, AnswersAreTheSameWhateverIsKept) {
  for (const uint64_t limit : {uint64_t{0}, kSmallCache, uint64_t{1} << 30}) {
    SCOPED_TRACE(limit);
    Store store(builder_.directories(), {.index_cache_bytes = limit});
    const StoreSnapshot snapshot = store.Snapshot();
    const auto kept = store.totals().index_cache;
    EXPECT_LE(kept.bytes, limit);
    for (const char* text :
         {"host 10.1.0.7", "host 10.1.0.7 or host 10.1.0.30", "host 10.1.0.7 and host 10.2.0.1",
          "not host 10.1.0.7", "host 10.9.9.9", "host 10.9.9.9 or udp", "net 10.1.0.0/30", "host 2001:db8::1",
          "host 10.1.0.7 and port 9"}) {
      const ExpressionPtr expression = ParseQuery(text, kTestStartNs).value();
      const Answer answer = Ask(*expression, snapshot);
      EXPECT_EQ(Difference(answer.packets, builder_.Expected(*expression)), "") << text;
      EXPECT_EQ(answer.stats.files_opened + answer.stats.files_ruled_out, kFiles) << text;
    }
    // One file has the address. A filter lets few others pass; fences none, at the cost of a read; nothing
    // all.
    const uint64_t opened = Ask(*Host("10.1.0.7"), snapshot).stats.files_opened;
    EXPECT_LE(opened, 1 + (limit == 0 ? kFiles : kFiles / 4));
    EXPECT_EQ(kept.files_with_fences > 0, limit == kSmallCache);
  }
}

// Retention takes files away, recovery and the rebuilder bring some: the cache follows.
TEST_F(IndexCacheTest, FollowsTheFiles) {
  Store store(builder_.directories());
  EXPECT_EQ(store.Snapshot().size(), kFiles);
  EXPECT_EQ(store.totals().index_cache.files_with_filters, kFiles);
  std::filesystem::remove(builder_.PacketPath(0, kId));
  EXPECT_EQ(store.totals().index_cache.files_with_filters, kFiles - 1);
}

// A damaged page is found by who opens the file, which is then read whole.
TEST_F(IndexCacheTest, ADamagedIndexHidesNothing) {
  Store store(builder_.directories(), {.index_cache_bytes = kSmallCache});
  const StoreSnapshot snapshot = store.Snapshot();
  const std::string path = builder_.IndexPath(0, kId);
  const auto size = std::filesystem::file_size(path);
  testing::WriteBytes(path, std::vector<uint8_t>(size, 0xff));
  const Answer answer = Ask(*Host("10.1.0.0"), snapshot);
  EXPECT_EQ(Difference(answer.packets, builder_.Expected(*Host("10.1.0.0"))), "");
  EXPECT_EQ(answer.stats.files_scanned, 1u);
}

}  // namespace
}  // namespace steno
