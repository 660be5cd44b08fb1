#include "server/rpc/retrieve_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int64_t kHuge = int64_t{1} << 62;

RpcConfig Config(uint64_t max_bytes, uint64_t client_max_bytes, uint64_t chunk_bytes) {
  RpcConfig config;
  config.max_bytes = max_bytes;
  config.client_max_bytes = client_max_bytes;
  config.chunk_bytes = chunk_bytes;
  return config;
}

RetrieveTerms Terms(int64_t chunk_size, int64_t max_size, const RpcConfig& config = {}) {
  auto terms = TermsOf("a", chunk_size, max_size, config);
  EXPECT_TRUE(terms);
  return terms.value_or(RetrieveTerms{});
}

TEST(RetrieveTermsTest, TheRequestCountsBeforeTheConfiguration) {
  const RpcConfig config = Config(0, 5000, 1000);
  EXPECT_EQ(Terms(0, 0, config).chunk_bytes, 1000u);
  EXPECT_EQ(Terms(0, 0, config).max_bytes, 5000u);
  EXPECT_EQ(Terms(2000, 9000, config).chunk_bytes, 2000u);
  EXPECT_EQ(Terms(2000, 9000, config).max_bytes, 9000u);
}

TEST(RetrieveTermsTest, SomethingHoldsWhereNobodySaysAnything) {
  EXPECT_EQ(Terms(0, 0).chunk_bytes, 64u << 10);
  EXPECT_EQ(Terms(0, 0).max_bytes, 0u);
}

TEST(RetrieveTermsTest, ChunksAreNeitherTinyNorHuge) {
  EXPECT_EQ(Terms(1, 0).chunk_bytes, 512u);
  EXPECT_EQ(Terms(kHuge, 0).chunk_bytes, 256u << 10);
  EXPECT_EQ(Terms(0, 0, Config(0, 0, uint64_t{1} << 40)).chunk_bytes, 256u << 10);
}

TEST(RetrieveTermsTest, TheServersLimitHoldsForAll) {
  const RpcConfig config = Config(1000, 5000, 0);
  EXPECT_EQ(Terms(0, 0, config).max_bytes, 1000u);
  EXPECT_EQ(Terms(0, kHuge, config).max_bytes, 1000u);
  EXPECT_EQ(Terms(0, 999, config).max_bytes, 999u);
  EXPECT_EQ(Terms(0, 0, Config(7, 0, 0)).max_bytes, 7u);
}

TEST(RetrieveTermsTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(TermsOf("", -1, 0, {}).error().message, HasSubstr("chunk_size: -1"));
  EXPECT_THAT(TermsOf("", 0, -5, {}).error().message, HasSubstr("max_size: -5"));
  EXPECT_THAT(TermsOf(std::string(257, 'x'), 0, 0, {}).error().message, HasSubstr("uid: 257 bytes"));
  EXPECT_TRUE(TermsOf(std::string(256, 'x'), 0, 0, {}));
}

TEST(RetrieveTermsTest, UidsAreUuidsAndDiffer) {
  const std::string uid = MakeUid();
  EXPECT_EQ(uid.size(), 36u);
  EXPECT_THAT(uid, MatchesRegex("[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+"));
  EXPECT_NE(uid, MakeUid());
}

}  // namespace
}  // namespace steno
