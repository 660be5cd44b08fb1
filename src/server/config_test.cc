#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kIncumbentsOwn = R"({
  "Threads": [
    { "PacketsDirectory": "/var/lib/stenographer/thread0/packets"
    , "IndexDirectory": "/var/lib/stenographer/thread0/index"
    , "MaxDirectoryFiles": 30000
    , "DiskFreePercentage": 10
    }
  ]
  , "StenotypePath": "/usr/sbin/stenotype"
  , "Interface": "eth0"
  , "Port": 1234
  , "Host": "127.0.0.1"
  , "Flags": []
  , "CertPath": "/etc/stenographer/certs"
})";

// A valid configuration with `more` added to it.
std::string With(const std::string& more) {
  return R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i"}], "StenotypePath": "/s", "Interface": "e")" +
         (more.empty() ? "" : ", " + more) + "}";
}

std::string ErrorOf(const std::string& text) {
  const auto loaded = ParseServerConfig(text, "conf");
  return loaded ? "accepted" : loaded.error().message;
}

TEST(ServerConfigTest, ReadsTheIncumbentsFile) {
  const auto loaded = ParseServerConfig(kIncumbentsOwn, "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE(loaded->warnings.empty());
  const ServerConfig& config = loaded->config;
  ASSERT_EQ(config.threads.size(), 1u);
  EXPECT_EQ(config.threads[0].packets_directory, "/var/lib/stenographer/thread0/packets");
  EXPECT_EQ(config.threads[0].index_directory, "/var/lib/stenographer/thread0/index");
  EXPECT_EQ(config.stenotype_path, "/usr/sbin/stenotype");
  EXPECT_THAT(config.interfaces, ElementsAre("eth0"));
  EXPECT_EQ(config.port, 1234);
}

// A valid configuration with these lines for the interfaces.
std::string WithInterfaces(const std::string& lines) {
  return R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i"}], "StenotypePath": "/s", )" +
         lines + "}";
}

TEST(ServerConfigTest, InterfacesAreOneNameOrAList) {
  for (const char* lines : {R"("Interface": ["em1", "em2"])", R"("Interfaces": ["em1", "em2"])",
                            R"("Interface": "", "Interfaces": ["em1", "em2"])"}) {
    const auto loaded = ParseServerConfig(WithInterfaces(lines), "conf");
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_THAT(loaded->config.interfaces, ElementsAre("em1", "em2"));
    EXPECT_TRUE(loaded->warnings.empty()) << lines;
    EXPECT_THAT(ToJson(loaded->config), HasSubstr("\"Interface\": [\n    \"em1\",\n    \"em2\"\n  ]"));
  }
  const auto one = ParseServerConfig(WithInterfaces(R"("Interfaces": "em1")"), "conf");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_THAT(ToJson(one->config), HasSubstr("\"Interface\": \"em1\""));
}

TEST(ServerConfigTest, WrongInterfacesAreNamed) {
  EXPECT_THAT(ErrorOf(WithInterfaces(R"("Interface": ["em1", "em1"])")),
              HasSubstr("Interface[1]: \"em1\", expected the name of an interface, each once"));
  EXPECT_THAT(ErrorOf(WithInterfaces(R"("Interface": ["em1", 7])")),
              HasSubstr("Interface[1]: the number 7, expected a string"));
  EXPECT_THAT(
      ErrorOf(WithInterfaces(R"("Interface": 7)")),
      HasSubstr("Interface: the number 7, expected the name of a network interface or a list of names"));
  EXPECT_THAT(ErrorOf(WithInterfaces(R"("Interface": "em1", "Interfaces": ["em2"])")),
              HasSubstr("Interfaces: given beside Interface"));
  EXPECT_THAT(ErrorOf(WithInterfaces(R"("Interface": [])")), HasSubstr("Interface: missing"));
}

TEST(ServerConfigTest, ThreadsShareBothDirectoriesOrNone) {
  const auto with = [](const std::string& second) {
    return R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i/"}, )" + second +
           R"(], "StenotypePath": "/s", "Interface": "e"})";
  };
  EXPECT_EQ(ErrorOf(with(R"({"PacketsDirectory": "/p//", "IndexDirectory": "/i"})")), "accepted");
  EXPECT_EQ(ErrorOf(with(R"({"PacketsDirectory": "/q", "IndexDirectory": "/j"})")), "accepted");
  EXPECT_THAT(ErrorOf(with(R"({"PacketsDirectory": "/p", "IndexDirectory": "/j"})")),
              HasSubstr("Threads[1]: shares one directory with Threads[0]"));
}

TEST(ServerConfigTest, DefaultsOmittedKeys) {
  const auto loaded = ParseServerConfig(With(""), "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  const ServerConfig& config = loaded->config;
  EXPECT_EQ(config.threads[0].max_directory_files, 30000u);
  EXPECT_EQ(config.threads[0].disk_free_percentage, 10);
  EXPECT_EQ(config.port, 1234);
  EXPECT_EQ(config.host, "127.0.0.1");
  EXPECT_EQ(config.cert_path, "/etc/stenographer/certs");
  EXPECT_EQ(config.max_open_files, 100000u);
  EXPECT_EQ(config.unix_socket, "");
  EXPECT_EQ(config.query.timeout_seconds, 900u);
  EXPECT_EQ(config.query.max_concurrent, 16u);
  EXPECT_EQ(config.index_cache_mb, 512u);
}

TEST(ServerConfigTest, CommentsAndCaseOfKeys) {
  const auto loaded = ParseServerConfig(
      "// mine\n" + With(R"(/* local */ "port": 99, "flags": ["-v", "--blocks=9"], "MaxOpenFiles": 5)"),
      "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config.port, 99);
  EXPECT_THAT(loaded->config.flags, ElementsAre("-v", "--blocks=9"));
  EXPECT_TRUE(loaded->warnings.empty());
}

TEST(ServerConfigTest, UnknownKeysWarnWithTheirPath) {
  const auto loaded = ParseServerConfig(
      R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i", "Colour": 1}], "StenotypePath": "/s",
          "Interface": "e", "Speed": {}, "Query": {"Fast": 1}, "TestimonySocket": ""})",
      "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_THAT(loaded->warnings,
              ElementsAre("Threads[0].Colour: unknown key, ignored", "Query.Fast: unknown key, ignored",
                          "Speed: unknown key, ignored"));
}

TEST(ServerConfigTest, EachWrongKeyIsNamedWithWhatWasExpected) {
  EXPECT_THAT(ErrorOf(With(R"("Port": "1234")")),
              HasSubstr("Port: a string, expected a whole number 0..65535"));
  EXPECT_THAT(ErrorOf(With(R"("Port": 65536)")),
              HasSubstr("Port: the number 65536, expected a whole number 0..65535"));
  EXPECT_THAT(ErrorOf(With(R"("Port": -1)")), HasSubstr("Port: the number -1"));
  EXPECT_THAT(ErrorOf(With(R"("Port": 12.5)")), HasSubstr("Port: the number 12.5"));
  EXPECT_THAT(ErrorOf(With(R"("Port": 0)")),
              HasSubstr("Port: the number 0, expected a port 1..65535, or UnixSocket"));
  EXPECT_THAT(ErrorOf(With(R"("Host": 1)")), HasSubstr("Host: the number 1, expected a string"));
  EXPECT_THAT(ErrorOf(With(R"("Flags": "-v")")), HasSubstr("Flags: a string, expected a list of strings"));
  EXPECT_THAT(ErrorOf(With(R"("Flags": ["-v", 3])")), HasSubstr("Flags[1]: the number 3, expected a string"));
  EXPECT_THAT(ErrorOf(With(R"("UnixSocket": "run/s")")),
              HasSubstr("UnixSocket: \"run/s\", expected an absolute path"));
  EXPECT_THAT(ErrorOf(With(R"("UnixSocket": "/)" + std::string(200, 'x') + "\"")),
              HasSubstr("at most 107 bytes"));
  EXPECT_THAT(ErrorOf(With(R"("Query": {"TimeoutSeconds": 0})")),
              HasSubstr("Query.TimeoutSeconds: the number 0"));
  EXPECT_THAT(ErrorOf(With(R"("IndexCacheMB": -1)")), HasSubstr("IndexCacheMB: the number -1, expected"));
  EXPECT_THAT(ErrorOf(With(R"("Query": {"MaxConcurrent": true})")),
              HasSubstr("Query.MaxConcurrent: true, expected"));
  EXPECT_THAT(ErrorOf(With(R"("TestimonySocket": "/t")")),
              HasSubstr("TestimonySocket: capture from testimony"));
  EXPECT_THAT(ErrorOf(R"({"Threads": {}, "StenotypePath": "/s", "Interface": "e"})"),
              HasSubstr("Threads: an object"));
  EXPECT_THAT(ErrorOf(R"({"Threads": [], "StenotypePath": "/s", "Interface": "e"})"),
              HasSubstr("Threads: an array"));
}

TEST(ServerConfigTest, AllErrorsAtOnce) {
  EXPECT_EQ(ErrorOf(R"({"Threads": [{"PacketsDirectory": "/p", "DiskFreePercentage": 100}, 7], "Port": []})"),
            "conf: 6 keys are wrong:\n"
            "  Threads[0].IndexDirectory: missing, expected a path\n"
            "  Threads[0].DiskFreePercentage: the number 100, expected a percentage 0..99\n"
            "  Threads[1]: the number 7, expected an object\n"
            "  StenotypePath: missing, expected a path\n"
            "  Interface: missing, expected the name of a network interface\n"
            "  Port: an array, expected a whole number 0..65535");
}

TEST(ServerConfigTest, BrokenJsonTellsWhere) {
  EXPECT_THAT(ErrorOf("{\"Port\": 1,\n \"Host\" 2}"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("[]"), StartsWith("conf: expected a JSON object"));
  EXPECT_THAT(ErrorOf(""), StartsWith("conf: "));
  EXPECT_THAT(ErrorOf(std::string(200'000, '[')), StartsWith("conf: "));
}

TEST(ServerConfigTest, ThreadsMayShareDirectoriesAndZeroMeansDefault) {
  const auto loaded = ParseServerConfig(
      R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i", "MaxDirectoryFiles": 0, "DiskFreePercentage": 0},
                      {"PacketsDirectory": "/p", "IndexDirectory": "/i", "DiskFreePercentage": 12.5}],
          "StenotypePath": "/s", "Interface": "e"})",
      "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config.threads[0].max_directory_files, 30000u);
  EXPECT_EQ(loaded->config.threads[0].disk_free_percentage, 10);
  EXPECT_EQ(loaded->config.threads[1].disk_free_percentage, 12.5);
}

TEST(ServerConfigTest, JsonOfAConfigurationReadsBack) {
  const auto first = ParseServerConfig(With(R"("Port": 7, "UnixSocket": "/run/s", "Flags": ["-v"])"), "conf");
  ASSERT_TRUE(first);
  const auto second = ParseServerConfig(ToJson(first->config), "again");
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(second->warnings.empty());
  EXPECT_EQ(ToJson(first->config), ToJson(second->config));
}

constexpr const char* kEveryKey = R"("Port": 7, "MaxBytes": 5000000000, "MaxAge": "36h", "MaxConnections": 9,
  "Query": {"TimeoutSeconds": 5, "MaxConcurrent": 2, "MaxWaiting": 3, "MaxPerClient": 4, "MaxPackets": 6, "MaxBytes": 8,
            "MaxReadMBps": 10},
  "Tls": {"CaCert": "/c/ca", "ServerCert": "/c/s", "ServerKey": "/c/k", "RevocationList": "/c/crl", "MinVersion": "1.3",
          "AllowedNames": ["ann"]},
  "Roles": [{"Name": "tier1", "Certificates": ["ann"], "Users": ["bob"], "Operations": ["query"],
             "Filter": "net 10.1.0.0/16", "MaxPackets": 1, "MaxBytes": 2, "MaxConcurrent": 3}],
  "Audit": {"Path": "/var/log/audit.json"}, "Metrics": {"Host": "::1", "Port": 9},
  "Rpc": {"CaCert": "/r/ca", "ServerCert": "/r/s", "ServerKey": "/r/k", "ServerPort": 99, "ServerPcapMaxSize": 11,
          "ClientPcapChunkSize": 12, "ClientPcapMaxSize": 13})";

TEST(ServerConfigTest, EveryKeyIsReadAndWrittenBack) {
  const auto loaded = ParseServerConfig(With(kEveryKey), "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_THAT(loaded->warnings, ElementsAre());
  const ServerConfig& config = loaded->config;
  EXPECT_EQ(config.threads[0].max_bytes, 5'000'000'000u);
  EXPECT_EQ(config.threads[0].max_age_ns, int64_t{36} * 3600 * 1'000'000'000);
  EXPECT_EQ(config.max_connections, 9u);
  EXPECT_EQ(config.query.max_per_client, 4u);
  EXPECT_EQ(config.tls.min_version, "1.3");
  ASSERT_EQ(config.roles.size(), 1u);
  EXPECT_EQ(config.roles[0].filter, "net 10.1.0.0/16");
  EXPECT_EQ(config.audit.path, "/var/log/audit.json");
  EXPECT_EQ(config.metrics.port, 9);
  ASSERT_TRUE(config.rpc);
  EXPECT_EQ(config.rpc->host, "127.0.0.1");
  EXPECT_EQ(config.rpc->client_max_bytes, 13u);
  const auto again = ParseServerConfig(ToJson(config), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(ToJson(again->config), ToJson(config));
}

TEST(ServerConfigTest, AThreadsOwnLimitsComeBeforeThoseOfAll) {
  const auto loaded = ParseServerConfig(
      R"({"Threads": [{"PacketsDirectory": "/p", "IndexDirectory": "/i", "MaxAge": "0s", "MaxBytes": 9}],
          "StenotypePath": "/s", "Interface": "e", "MaxAge": "2w", "MaxBytes": 5})",
      "conf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->config.threads[0].max_age_ns, 0);
  EXPECT_EQ(loaded->config.threads[0].max_bytes, 9u);
}

TEST(ServerConfigTest, WrongKeysInsideObjectsAreNamedByTheirPath) {
  EXPECT_THAT(ErrorOf(With(R"("MaxAge": "2 fortnights")")),
              HasSubstr("MaxAge: \"2 fortnights\", expected a number and a unit"));
  EXPECT_THAT(ErrorOf(With(R"("MaxAge": "99999999999999999w")")), HasSubstr("MaxAge: "));
  EXPECT_THAT(ErrorOf(With(R"("MaxAge": 7)")), HasSubstr("MaxAge: the number 7, expected a string"));
  EXPECT_THAT(ErrorOf(With(R"("Tls": {"MinVersion": "1.1"})")),
              HasSubstr("Tls.MinVersion: \"1.1\", expected \"1.2\" or \"1.3\""));
  EXPECT_THAT(ErrorOf(With(R"("Tls": [])")), HasSubstr("Tls: an array, expected an object"));
  EXPECT_THAT(ErrorOf(With(R"("Roles": [{"Name": "a", "Users": ["b"], "Filter": "port 99999"}])")),
              HasSubstr("Roles[0].Filter: column 6: port 99999"));
  EXPECT_THAT(ErrorOf(With(R"("Roles": [{"Name": "a", "Users": ["b"], "Operations": ["query", "all"]}])")),
              HasSubstr("Roles[0].Operations[1]: \"all\", expected"));
  EXPECT_THAT(ErrorOf(With(R"("Roles": [{"Name": "a"}])")), HasSubstr("Roles[0].Certificates: missing"));
  EXPECT_THAT(ErrorOf(With(R"("Rpc": {"CaCert": "/c"})")), HasSubstr("Rpc.ServerPort: missing"));
}

TEST(ServerConfigTest, AMissingFileIsNamed) {
  const auto loaded = LoadServerConfig("/nonexistent/config");
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("/nonexistent/config"));
}

}  // namespace
}  // namespace steno
