#include "server/check_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

ServerConfig Good(const std::string& dir) {
  ServerConfig config;
  config.threads = {{.packets_directory = dir + "/deep/packets", .index_directory = dir + "/index"}};
  config.stenotype_path = "/bin/true";
  config.interfaces = {"lo", "tcp@192.0.2.1:57012"};
  config.port = 0;
  config.unix_socket = dir + "/socket";
  config.audit.path = dir + "/audit.json";
  return config;
}

TEST(CheckConfigTest, NothingIsWrongAndNothingIsMade) {
  const testing::TempDir dir;
  const ConfigFindings findings = CheckConfig(Good(dir.path()));
  EXPECT_THAT(findings.errors, IsEmpty());
  EXPECT_THAT(findings.warnings, IsEmpty());
  EXPECT_FALSE(std::ifstream(dir.path() + "/audit.json").good());
}

TEST(CheckConfigTest, AllFindingsAtOnceByKey) {
  const testing::TempDir dir;
  std::ofstream(dir.path() + "/file") << "x";
  ServerConfig config = Good(dir.path());
  config.threads[0].packets_directory = dir.path() + "/file/packets";
  config.threads[0].index_directory = dir.path() + "/file";
  config.stenotype_path = dir.path();
  config.interfaces = {"no-such-if"};
  config.port = 1234;
  config.cert_path = dir.path();
  config.unix_socket_group = "no-such-group";
  config.audit.path = dir.path();
  const ConfigFindings findings = CheckConfig(config);
  EXPECT_THAT(
      findings.errors,
      ElementsAre(StartsWith("StenotypePath: "), StartsWith("Threads[0].PacketsDirectory: "),
                  StartsWith("Threads[0].IndexDirectory: "), StartsWith("Tls, CertPath: server certificate"),
                  StartsWith("UnixSocketGroup: "), StartsWith("Audit.Path: ")));
  EXPECT_THAT(findings.warnings, ElementsAre(StartsWith("Interface: no-such-if does not exist")));
}

}  // namespace
}  // namespace steno
