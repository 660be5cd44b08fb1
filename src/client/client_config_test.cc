#include "client/client_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Ways(const ClientConfig& config) {
  std::vector<std::string> ways;
  const auto endpoints = Endpoints(config);
  if (endpoints) {
    for (const Endpoint& endpoint : *endpoints) ways.push_back(endpoint.Describe());
  }
  return ways;
}

TEST(ClientConfig, ReadsItsKeysAndIgnoresOthers) {
  const auto config = ParseClientConfig(R"({
    "Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i"}],  // comments are welcome
    /* of both kinds */ "Interface": "eth0", "Port": 1234, "Host": "127.0.0.1", "Flags": [],
    "CertPath": "/etc/stenographer/certs", "UnixSocket": "/run/s.sock", "Later": {"a": null}})",
                                        "file");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->host, "127.0.0.1");
  EXPECT_EQ(config->port, 1234);
  EXPECT_EQ(config->cert_path, "/etc/stenographer/certs");
  EXPECT_EQ(config->unix_socket, "/run/s.sock");
}

TEST(ClientConfig, KeysMatchInAnyCaseAndTheExactOneWins) {
  const auto config = ParseClientConfig(R"({"HOST": "a", "port": 7, "certpath": "/c", "Host": "b"})", "file");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->host, "b");
  EXPECT_EQ(config->port, 7);
  EXPECT_EQ(config->cert_path, "/c");
}

TEST(ClientConfig, AbsentKeysHaveTheServersDefaults) {
  const auto config = ParseClientConfig(R"({"Host": null})", "file");
  ASSERT_TRUE(config);
  EXPECT_THAT(Ways(*config), ElementsAre("https://127.0.0.1:1234"));
  EXPECT_EQ(config->cert_path, "/etc/stenographer/certs");
  EXPECT_THAT(Ways(*ParseClientConfig(R"({"Host": ""})", "file")), ElementsAre("https://127.0.0.1:1234"));
}

TEST(ClientConfig, MistakesNameTheFileAndTheKey) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({"Port": 65536})", "file: \"Port\": expected a port 0..65535, got 65536"},
      {R"({"Port": -1})", "got -1"},
      {R"({"Port": "1234"})", "got \"1234\""},
      {R"({"Port": 12.5})", "got 12.5"},
      {R"({"Port": 18446744073709551615})", "got 18446744073709551615"},
      {R"({"Host": 5})", "file: \"Host\": expected a string, got 5"},
      {R"([])", "file: expected a JSON object"},
      {R"({"Host": )", "file: "},
      {"", "file: "},
      {"{\"Host\": \"\xff\"}", "file: "},
      {"{\"Host\": {\"\xc3\x28\": 1}}", "file: "},
  };
  for (const auto& [text, message] : cases) {
    const auto config = ParseClientConfig(text, "file");
    ASSERT_FALSE(config) << text;
    EXPECT_THAT(config.error().message, HasSubstr(message)) << text;
  }
}

TEST(ClientConfig, LoadsAFileOrSaysWhyNot) {
  const testing::TempDir directory;
  const std::string path = directory.path() + "/config";
  const auto missing = LoadClientConfig(path);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr(path));
  EXPECT_THAT(missing.error().message, HasSubstr("No such file"));
  std::ofstream(path) << R"({"Port": 99})";
  const auto config = LoadClientConfig(path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->port, 99);
}

TEST(Endpoints, SocketFirstThenHttps) {
  EXPECT_THAT(Ways({"127.0.0.1", 1234, "", "/run/s"}), ElementsAre("unix:/run/s", "https://127.0.0.1:1234"));
  EXPECT_THAT(Ways({"sensor.example", 1, "", ""}), ElementsAre("https://sensor.example:1"));
  EXPECT_THAT(Ways({"", 0, "", "/run/s"}), ElementsAre("unix:/run/s"));
}

TEST(Endpoints, ListeningEverywhereIsAskedOverLoopback) {
  EXPECT_THAT(Ways({"", 5, "", ""}), ElementsAre("https://127.0.0.1:5"));
  EXPECT_THAT(Ways({"0.0.0.0", 5, "", ""}), ElementsAre("https://127.0.0.1:5", "https://0.0.0.0:5"));
  EXPECT_THAT(Ways({"::", 5, "", ""}), ElementsAre("https://[::1]:5", "https://[::]:5"));
  EXPECT_THAT(Ways({"fe80::1", 5, "", ""}), ElementsAre("https://[fe80::1]:5"));
}

TEST(Endpoints, NoneIsAnError) {
  const auto endpoints = Endpoints({"127.0.0.1", 0, "/c", ""});
  ASSERT_FALSE(endpoints);
  EXPECT_THAT(endpoints.error().message, HasSubstr("\"Port\""));
}

}  // namespace
}  // namespace steno
