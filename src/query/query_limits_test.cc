#include "query/query_limits.h"

#include <gtest/gtest.h>

#include <optional>

namespace steno {
namespace {

using Verdict = LimitCounter::Verdict;

std::optional<uint64_t> Parsed(std::string_view text) {
  const auto value = ParseLimit(text);
  return value ? std::optional<uint64_t>(*value) : std::nullopt;
}

TEST(ParseLimitTest, ReadsWhatGoReads) {
  EXPECT_EQ(Parsed("0"), 0u);
  EXPECT_EQ(Parsed("2147483648"), 2147483648u);
  EXPECT_EQ(Parsed("+5"), 5u);
  EXPECT_EQ(Parsed("0x10"), 16u);
  EXPECT_EQ(Parsed("0XfF"), 255u);
  EXPECT_EQ(Parsed("0o17"), 15u);
  EXPECT_EQ(Parsed("0b101"), 5u);
  EXPECT_EQ(Parsed("017"), 15u);
  EXPECT_EQ(Parsed("00"), 0u);
  EXPECT_EQ(Parsed("1_000"), 1000u);
  EXPECT_EQ(Parsed("0x_10"), 16u);
  EXPECT_EQ(Parsed("0_7"), 7u);
  EXPECT_EQ(Parsed("9223372036854775807"), uint64_t{INT64_MAX});
}

TEST(ParseLimitTest, RefusesTheRest) {
  for (const char* text : {"",
                           "-1",
                           "-0",
                           "+",
                           "abc",
                           "1k",
                           "1.5",
                           " 1",
                           "1 ",
                           "0x",
                           "0b2",
                           "08",
                           "0o8",
                           "_1",
                           "1_",
                           "1__0",
                           "0x_",
                           "9223372036854775808",
                           "99999999999999999999999",
                           "0xg",
                           "++1"}) {
    EXPECT_EQ(Parsed(text), std::nullopt) << text;
  }
}

TEST(LimitCounterTest, NoLimits) {
  LimitCounter counter({});
  EXPECT_EQ(counter.CountFileHeader(), Verdict::kMore);
  EXPECT_EQ(counter.CountPacket(1 << 20), Verdict::kMore);
}

TEST(LimitCounterTest, PacketsIncludeTheLast) {
  LimitCounter counter({.packets = 2});
  EXPECT_EQ(counter.CountFileHeader(), Verdict::kMore);
  EXPECT_EQ(counter.CountPacket(100), Verdict::kMore);
  EXPECT_EQ(counter.CountPacket(100), Verdict::kPacketLimit);
}

TEST(LimitCounterTest, SixteenBytesAreTheHeaderAlone) {
  for (uint64_t bytes = 1; bytes <= 16; ++bytes) {
    LimitCounter counter({.bytes = bytes});
    EXPECT_EQ(counter.CountFileHeader(), Verdict::kByteLimit) << bytes;
  }
  LimitCounter counter({.bytes = 17});
  EXPECT_EQ(counter.CountFileHeader(), Verdict::kMore);
  EXPECT_EQ(counter.CountPacket(60), Verdict::kByteLimit);
}

TEST(LimitCounterTest, ThePacketThatCrossesTheLimitIsTheLast) {
  LimitCounter exact({.bytes = 16 + 2 * 76});
  exact.CountFileHeader();
  EXPECT_EQ(exact.CountPacket(60), Verdict::kMore);
  EXPECT_EQ(exact.CountPacket(60), Verdict::kByteLimit);
  LimitCounter above({.bytes = 16 + 2 * 76 + 1});
  above.CountFileHeader();
  EXPECT_EQ(above.CountPacket(60), Verdict::kMore);
  EXPECT_EQ(above.CountPacket(60), Verdict::kMore);
  EXPECT_EQ(above.CountPacket(60), Verdict::kByteLimit);
}

}  // namespace
}  // namespace steno
