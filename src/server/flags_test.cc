#include "server/flags.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

using Arguments = std::vector<std::string>;

TEST(ServerFlagsTest, DefaultsAreTheIncumbents) {
  const auto flags = ParseServerFlags({});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->config_path, "/etc/stenographer/config");
  EXPECT_TRUE(flags->syslog);
  EXPECT_EQ(flags->verbosity, -1);
}

TEST(ServerFlagsTest, AllSpellingsMeanTheSame) {
  for (const Arguments& arguments :
       {Arguments{"-config", "/x", "-syslog=false", "-v", "1"},
        Arguments{"--config=/x", "--syslog=false", "--v=1"}, Arguments{"-config=/x", "-syslog=0", "-v=1"},
        Arguments{"-v", "1", "--syslog=false", "--config", "/x"}}) {
    const auto flags = ParseServerFlags(arguments);
    ASSERT_TRUE(flags) << flags.error().message;
    EXPECT_EQ(flags->config_path, "/x");
    EXPECT_FALSE(flags->syslog);
    EXPECT_EQ(flags->verbosity, 1);
  }
}

TEST(ServerFlagsTest, ValuesMayLookLikeFlags) {
  const auto flags = ParseServerFlags({"-v", "-1", "-syslog"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->verbosity, -1);
  EXPECT_TRUE(flags->syslog);
}

TEST(ServerFlagsTest, Actions) {
  EXPECT_EQ(ParseServerFlags({"-help"})->action, ServerFlags::Action::kHelp);
  EXPECT_EQ(ParseServerFlags({"-h"})->action, ServerFlags::Action::kHelp);
  EXPECT_EQ(ParseServerFlags({"--version"})->action, ServerFlags::Action::kVersion);
  const auto flags = ParseServerFlags({"--explain_retention", "-config", "/x"});
  EXPECT_EQ(flags->action, ServerFlags::Action::kExplainRetention);
  EXPECT_EQ(flags->config_path, "/x");
}

TEST(ServerFlagsTest, ErrorsNameTheArgument) {
  const auto message = [](const Arguments& arguments) {
    const auto flags = ParseServerFlags(arguments);
    return flags ? std::string("accepted") : flags.error().message;
  };
  EXPECT_EQ(message({"-config"}), "-config: needs a value");
  EXPECT_EQ(message({"-v", "loud"}), "-v loud: expected a whole number");
  EXPECT_EQ(message({"-syslog=maybe"}), "-syslog=maybe: expected true or false");
  EXPECT_EQ(message({"--verbose"}), "--verbose: unknown flag; see -help");
  EXPECT_EQ(message({"run"}), "run: expected a flag; see -help");
}

}  // namespace
}  // namespace steno
