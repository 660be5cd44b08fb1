#include "server/http/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(ReplyTest, WholeReply) {
  const std::string text = Serialise({405, "no\n", "text/plain", {{"Allow", "GET"}}}, true, 1);
  EXPECT_THAT(text, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(text, HasSubstr("\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nAllow: GET\r\n"));
  EXPECT_THAT(text,
              ContainsRegex("\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n"));
  EXPECT_THAT(text, EndsWith("\r\n\r\nno\n"));
  EXPECT_THAT(text, Not(HasSubstr("Connection")));
}

TEST(ReplyTest, ConnectionHeaderFollowsTheVersion) {
  EXPECT_THAT(ReplyHead(200, {}, false, 1), HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(ReplyHead(200, {}, true, 0), HasSubstr("\r\nConnection: keep-alive\r\n"));
  EXPECT_THAT(ReplyHead(200, {}, true, 0), StartsWith("HTTP/1.0 200 OK\r\n"));
}

TEST(ReplyTest, Chunks) {
  EXPECT_EQ(ChunkHead(24), "18\r\n");
  EXPECT_EQ(LastChunk({}), "0\r\n\r\n");
  EXPECT_EQ(LastChunk({{"Steno-Complete", "true"}}), "0\r\nSteno-Complete: true\r\n\r\n");
}

}  // namespace
}  // namespace steno
