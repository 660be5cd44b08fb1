#include "client/exit_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using Kind = QueryOutcome::Kind;
using ::testing::HasSubstr;

TEST(Conclude, TcpdumpsStatusWhenTheResultIsWholeOrWantedNoFurther) {
  for (const Kind kind : {Kind::kComplete, Kind::kStopped}) {
    for (const int status : {0, 1, 141}) {
      const Conclusion conclusion = Conclude(QueryOutcome{kind, 200, 24, ""}, status);
      EXPECT_EQ(conclusion.exit_status, status);
      EXPECT_EQ(conclusion.message, "");
    }
  }
}

TEST(Conclude, ARefusedQueryIsOneWithTheServersWords) {
  const Conclusion conclusion = Conclude(QueryOutcome{Kind::kRefused, 400, 0, "could not parse query: x"}, 0);
  EXPECT_EQ(conclusion.exit_status, 1);
  EXPECT_EQ(conclusion.message, "the server answered 400: could not parse query: x");
}

TEST(Conclude, AnIncompleteResultIsTwoWhateverTcpdumpSays) {
  for (const int status : {0, 1}) {
    const Conclusion conclusion = Conclude(QueryOutcome{Kind::kIncomplete, 200, 5000, "timeout"}, status);
    EXPECT_EQ(conclusion.exit_status, 2);
    EXPECT_THAT(conclusion.message, HasSubstr("incomplete"));
    EXPECT_THAT(conclusion.message, HasSubstr("timeout (after 5000 bytes)"));
  }
}

TEST(Conclude, ErrorsAreOneAndTcpdumpsComesFirst) {
  const Result<QueryOutcome> unreachable = Fail(Error::NotFound("cannot reach the server"));
  EXPECT_EQ(Conclude(unreachable, 0).exit_status, 1);
  EXPECT_EQ(Conclude(unreachable, 0).message, "cannot reach the server");
  const Conclusion conclusion =
      Conclude(QueryOutcome{Kind::kStopped, 200, 0, ""}, Fail(Error::Invalid("no tcpdump")));
  EXPECT_EQ(conclusion.exit_status, 1);
  EXPECT_EQ(conclusion.message, "no tcpdump");
}

}  // namespace
}  // namespace steno
