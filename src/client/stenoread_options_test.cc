#include "client/stenoread_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<StenoreadOptions> Parse(std::vector<const char*> arguments, const char* environment = nullptr) {
  return ParseStenoreadOptions(arguments, environment);
}

TEST(StenoreadOptions, QueryOnly) {
  const auto options = Parse({"port 80"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->query, "port 80");
  EXPECT_THAT(options->tcpdump_arguments, IsEmpty());
  EXPECT_EQ(options->config_path, "/etc/stenographer/config");
  EXPECT_EQ(options->max_time_seconds, 890);
  EXPECT_FALSE(options->limit_packets);
  EXPECT_FALSE(options->limit_bytes);
}

TEST(StenoreadOptions, EverythingAfterTheQueryBelongsToTcpdump) {
  const auto options = Parse({"--limit-packets", "6", "--limit-bytes=0x800", "host 1.1.1.1", "-n",
                              "--limit-packets", "9", "--help", "tcp[tcpflags] & tcp-push != 0"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->action, StenoreadOptions::Action::kQuery);
  EXPECT_EQ(options->limit_packets, 6U);
  EXPECT_EQ(options->limit_bytes, 0x800U);
  EXPECT_EQ(options->query, "host 1.1.1.1");
  EXPECT_THAT(options->tcpdump_arguments,
              ElementsAre("-n", "--limit-packets", "9", "--help", "tcp[tcpflags] & tcp-push != 0"));
}

TEST(StenoreadOptions, ConfigComesFromTheOptionThenTheEnvironment) {
  EXPECT_EQ(Parse({"q"}, "/env")->config_path, "/env");
  EXPECT_EQ(Parse({"q"}, "")->config_path, "/etc/stenographer/config");
  EXPECT_EQ(Parse({"--config", "/flag", "q"}, "/env")->config_path, "/flag");
}

TEST(StenoreadOptions, HelpAndVersionNeedNoQuery) {
  EXPECT_EQ(Parse({"--help"})->action, StenoreadOptions::Action::kHelp);
  EXPECT_EQ(Parse({"-h"})->action, StenoreadOptions::Action::kHelp);
  EXPECT_EQ(Parse({"--version"})->action, StenoreadOptions::Action::kVersion);
}

TEST(StenoreadOptions, DoubleDashEndsTheOptions) {
  const auto options = Parse({"--max-time", "5", "--", "-odd query", "-w", "f"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->max_time_seconds, 5);
  EXPECT_EQ(options->query, "-odd query");
  EXPECT_THAT(options->tcpdump_arguments, ElementsAre("-w", "f"));
}

TEST(StenoreadOptions, MistakesAreNamed) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{}, "a query is missing"},
      {{"--limit-packets", "5"}, "a query is missing"},
      {{"--limit-packets"}, "--limit-packets: a value must follow"},
      {{"--limit-packets", "many", "q"}, "--limit-packets: expected a whole number, got 'many'"},
      {{"--limit-bytes", "-1", "q"}, "--limit-bytes: expected a whole number, got '-1'"},
      {{"--limit-bytes", "5k", "q"}, "got '5k'"},
      {{"--limit-bytes=", "q"}, "got ''"},
      {{"--limit-bytes", "99999999999999999999", "q"}, "expected a whole number"},
      {{"-n", "q"}, "-n: unknown option (tcpdump's options come after the query"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto options = Parse(arguments);
    ASSERT_FALSE(options) << message;
    EXPECT_EQ(options.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(options.error().message, HasSubstr(message));
  }
}

TEST(StenoreadOptions, ExplainIsAnActionOnAQuery) {
  const std::vector<const char*> arguments = {"--explain", "--max-time=5", "port 80"};
  const auto options = ParseStenoreadOptions(arguments, nullptr);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->action, StenoreadOptions::Action::kExplain);
  EXPECT_EQ(options->query, "port 80");
  EXPECT_EQ(options->max_time_seconds, 5);
  const std::vector<const char*> missing = {"--explain"};
  EXPECT_FALSE(ParseStenoreadOptions(missing, nullptr));
}

TEST(StenoreadOptions, DirectoriesAndFiles) {
  const auto options = Parse({"--dir", "/a", "--dir=/b", "--format", "pcapng", "--output", "x.pcapng",
                              "--split-size", "1000", "--split-time", "60", "--all"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->directories, ElementsAre("/a", "/b"));
  EXPECT_EQ(options->format, "pcapng");
  EXPECT_EQ(options->output, "x.pcapng");
  EXPECT_EQ(options->split.bytes, 1000u);
  EXPECT_EQ(options->split.time_ns, 60'000'000'000);
  EXPECT_EQ(options->query, "after 1970-01-01T00:00:00Z");
  EXPECT_EQ(options->max_time_seconds, 0) << "a dump may take its time";
  EXPECT_EQ(Parse({"--dir", "/a", "--max-time", "890", "port 80"})->max_time_seconds, 890);
  EXPECT_THAT(Parse({"--all", "--", "-n"})->tcpdump_arguments, ElementsAre("-n"));
}

TEST(StenoreadOptions, WhatMakesNoSenseTogether) {
  EXPECT_THAT(Parse({"--format", "erf", "port 80"}).error().message,
              HasSubstr("--format erf: expected pcap, pcap-ns, pcapng or json"));
  EXPECT_FALSE(Parse({"--dir", "/a", "--split-size", "5", "port 80"}));
  EXPECT_FALSE(
      Parse({"--dir", "/a", "--output", "x", "--aggregate", "port", "--split-size", "5", "port 80"}));
  EXPECT_FALSE(Parse({"--aggregate", "colour", "port 80"}));
  EXPECT_EQ(Parse({"--aggregate", "port", "port 80"})->output, "-") << "tcpdump reads no JSON";
  EXPECT_FALSE(Parse({"--output", "x", "--split-size", "5", "port 80"}));
  EXPECT_FALSE(Parse({"--output", "x", "port 80", "-n"}));
}

}  // namespace
}  // namespace steno
