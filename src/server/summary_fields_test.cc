#include "server/summary_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(SummaryFieldsTest, SayWhetherTheResultIsWhole) {
  EXPECT_THAT(SummaryFields({5, 400, 0, 0, true, ""}),
              ElementsAre(Pair("Steno-Packets", "5"), Pair("Steno-Bytes", "400"), Pair("Steno-Problems", "0"),
                          Pair("Steno-Drops", "0"), Pair("Steno-Complete", "true")));
  EXPECT_THAT(SummaryFields({5, 400, 2, 7, false, "timeout"}),
              ElementsAre(Pair("Steno-Packets", "5"), Pair("Steno-Bytes", "400"), Pair("Steno-Problems", "2"),
                          Pair("Steno-Drops", "7"), Pair("Steno-Complete", "false"),
                          Pair("Steno-Reason", "timeout")));
}

}  // namespace
}  // namespace steno
