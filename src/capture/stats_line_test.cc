#include "capture/stats_line.h"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "base/clock.h"

namespace steno {
namespace {

std::vector<std::string> Words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

TEST(StatsLineTest, HasTheIncumbentsShape) {
  const StatsSample sample{.bytes = uint64_t{672300} << 20,
                           .elapsed_ns = 163'947 * kNsPerSecond,
                           .packets = 851'932'973,
                           .blocks = 672'300,
                           .polls = 1'404'330,
                           .drops = 0};
  EXPECT_EQ(FormatStatsLine(0, sample),
            "Thread 0 stats: MB=672300 secs=163947 MBps=4.10072 packets=851932973 blocks=672300 "
            "polls=1404330 drops=0 "
            "drop%=0");
}

// Scripts take words 9 and 12 of the 14 that a line has with its prefix of three.
TEST(StatsLineTest, PacketsAndDropsHaveTheirPlacesHoweverLargeOrSmall) {
  for (const StatsSample& sample :
       {StatsSample{},
        StatsSample{.bytes = UINT64_MAX, .elapsed_ns = INT64_MAX, .packets = 1, .drops = UINT64_MAX / 2}}) {
    const auto words = Words("time T:1 [file:1] " + FormatStatsLine(7, sample));
    ASSERT_EQ(words.size(), 14u);
    EXPECT_EQ(words[9], "packets=" + std::to_string(sample.packets));
    EXPECT_EQ(words[12], "drops=" + std::to_string(sample.drops));
  }
}

}  // namespace
}  // namespace steno
