#include "server/http/target.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

std::string Parameter(std::string_view target, std::string_view name = "query") {
  const auto value = TargetParameter(target, name);
  if (!value) return "error: " + value.error().message;
  return value->value_or("none");
}

TEST(TargetTest, PathAndParameters) {
  EXPECT_EQ(TargetPath("/query?a=1?b"), "/query");
  EXPECT_EQ(TargetPath("/query"), "/query");
  EXPECT_EQ(TargetPath(""), "");
  EXPECT_EQ(Parameter("/q?query=port%2080+or%2b"), "port 80 or+");
  EXPECT_EQ(Parameter("/q?a=b&query=tcp&query=udp"), "tcp");
  EXPECT_EQ(Parameter("/q?a=b&query"), "");
  EXPECT_EQ(Parameter("/q?query="), "");
  EXPECT_EQ(Parameter("/q?query=a=b"), "a=b");
  for (const char* target : {"/q", "/q?", "/q?&&", "/q?aquery=1", "/q?queryx=1"}) {
    EXPECT_EQ(Parameter(target), "none") << target;
  }
  for (const char* target : {"/q?query=%", "/q?query=%2", "/q?query=%g0&x=1", "/q?query=%-1"}) {
    EXPECT_EQ(Parameter(target),
              "error: parameter query: expected two hexadecimal digits after \"%\" at byte 1")
        << target;
  }
}

}  // namespace
}  // namespace steno
