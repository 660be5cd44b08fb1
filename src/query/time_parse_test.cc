#include "query/time_parse.h"

#include <gmock/gmock.h>

#include <ctime>
#include <random>

namespace steno::internal {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t Timestamp(std::string_view text) {
  const auto time = ParseTimestamp(text, 1);
  EXPECT_TRUE(time.has_value()) << text << ": " << (time ? "" : time.error().message);
  return time.value_or(-1);
}

TEST(TimeParse, ReadsRfc3339AndUnixTimes) {
  EXPECT_EQ(Timestamp("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(Timestamp("2012-11-03T11:05:00Z"), 1351940700 * kSecond);
  EXPECT_EQ(Timestamp("2012-11-03T11:05:00-07:00"), (1351940700 + 7 * 3600) * kSecond);
  EXPECT_EQ(Timestamp("2012-11-03T11:05:00+05:30"), (1351940700 - 5 * 3600 - 1800) * kSecond);
  EXPECT_EQ(Timestamp("2012-11-03t11:05:00.5z"), 1351940700 * kSecond + kSecond / 2);
  EXPECT_EQ(Timestamp("2012-11-03T11:05:00.123456789Z"), 1351940700 * kSecond + 123456789);
  EXPECT_EQ(Timestamp("2024-02-29T23:59:59.000000001Z"), 1709251199 * kSecond + 1);
  EXPECT_EQ(Timestamp("1969-12-31T23:59:59.5Z"), -kSecond / 2);
  EXPECT_EQ(Timestamp("2000-01-01T00:00:00-00:00"), 946684800 * kSecond);
  EXPECT_EQ(Timestamp("1700000000.123456789"), 1700000000 * kSecond + 123456789);
  EXPECT_EQ(Timestamp("0"), 0);
}

TEST(TimeParse, LeapSecondIsTheNextSecond) {
  EXPECT_EQ(Timestamp("2016-12-31T23:59:60Z"), Timestamp("2017-01-01T00:00:00Z"));
  EXPECT_EQ(Timestamp("2016-12-31T15:59:60.25-08:00"), Timestamp("2017-01-01T00:00:00.25Z"));
  EXPECT_FALSE(ParseTimestamp("2016-12-31T15:59:60Z", 1).has_value());
}

TEST(TimeParse, ReachesTheEndsOfTimeAndNoFurther) {
  EXPECT_EQ(Timestamp("1677-09-21T00:12:43.145224192Z"), INT64_MIN);
  EXPECT_EQ(Timestamp("2262-04-11T23:47:16.854775807Z"), INT64_MAX);
  EXPECT_EQ(Timestamp("9223372036.854775807"), INT64_MAX);
  for (const char* text :
       {"1677-09-21T00:12:43.145224191Z", "2262-04-11T23:47:16.854775808Z", "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z", "9223372036.854775808", "99999999999999999999"}) {
    EXPECT_FALSE(ParseTimestamp(text, 1).has_value()) << text;
  }
  EXPECT_EQ(FormatTime(INT64_MIN), "1677-09-21T00:12:43.145224192Z");
  EXPECT_EQ(FormatTime(INT64_MAX), "2262-04-11T23:47:16.854775807Z");
}

TEST(TimeParse, ReadsDurations) {
  EXPECT_EQ(ParseDuration("45m", 1).value(), 45 * 60 * kSecond);
  EXPECT_EQ(ParseDuration("3h", 1).value(), 3 * 3600 * kSecond);
  EXPECT_EQ(ParseDuration("30s", 1).value(), 30 * kSecond);
  EXPECT_EQ(ParseDuration("2D", 1).value(), 2 * 86400 * kSecond);
  EXPECT_EQ(ParseDuration("1d2h3m4s", 1).value(), (86400 + 7200 + 180 + 4) * kSecond);
  EXPECT_EQ(ParseTimeAgo("1h", 1, 3600 * kSecond).value(), 0);
  for (const char* text :
       {"", "m", "5", "5x", "1.5h", "h5", "5m3", "-5m", "400000d", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text, 1).has_value()) << text;
  }
  EXPECT_FALSE(ParseTimeAgo("1s", 1, INT64_MIN).has_value());
}

TEST(TimeParse, ColumnPointsAtTheOffendingByte) {
  EXPECT_EQ(ParseTimestamp("2024-13-01T00:00:00Z", 7).error().column, 7u + 5);
  EXPECT_EQ(ParseTimestamp("2024-02-30T00:00:00Z", 7).error().column, 7u + 8);
  EXPECT_EQ(ParseTimestamp("2024-02-03T00:00:00", 7).error().column, 7u + 19);
  EXPECT_EQ(ParseDuration("3h5", 7).error().column, 7u + 3);
}

// The C library's calendar, and a format and parse round trip.
TEST(TimeParse, AgreesWithGmtimeAndReadsWhatItFormats) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20000; ++i) {
    const auto time_ns = static_cast<int64_t>(random()) >> (i % 2 == 0 ? 0 : random() % 40);
    const std::string text = FormatTime(time_ns);
    ASSERT_EQ(Timestamp(text), time_ns) << text;
    const auto seconds = static_cast<std::time_t>(time_ns / kSecond - (time_ns % kSecond < 0 ? 1 : 0));
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char expected[32];
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &parts);
    ASSERT_EQ(text.substr(0, 19), expected);
  }
}

}  // namespace
}  // namespace steno::internal
