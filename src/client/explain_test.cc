#include "client/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

constexpr const char* kPlan = R"({
  "query": "port 80", "after": "2023-11-14T22:13:20.000000001Z", "before": null,
  "from_index": ["port 80"], "from_packets": [],
  "files": {"total": 9, "outside_time": 1, "ruled_out": 2, "nothing_to_read": 1, "gone": 1, "to_read": 4,
            "without_index": 3, "new": 1},
  "blocks": 7, "reads": 8, "bytes": 12345678901, "problems": ["disk on fire"], "more": {}
})";

TEST(ClientExplain, ReadsAPlan) {
  const auto plan = ReadPlan(kPlan);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(ToText(*plan),
            "query          port 80\n"
            "times          from 2023-11-14T22:13:20.000000001Z\n"
            "from the index port 80\n"
            "files          4 to read of 9, 1 outside the times, 2 without such addresses, 1 with nothing to "
            "read, 1 gone\n"
            "               3 of them without an index: all of it is read\n"
            "to read        12345678901 bytes in 8 reads, out of 7 blocks\n"
            "problems       disk on fire\n");
}

TEST(ClientExplain, RefusesWhatIsNoPlan) {
  for (const std::string& text : {std::string(), std::string("{}"), std::string("[]"), std::string("packets"),
                                  std::string(kPlan).substr(0, 200)}) {
    const auto plan = ReadPlan(text);
    ASSERT_FALSE(plan) << text;
    EXPECT_THAT(plan.error().message, StartsWith("the server's answer is no plan: ")) << text;
  }
}

}  // namespace
}  // namespace steno
