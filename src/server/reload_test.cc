#include "server/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ServerConfig Base() {
  ServerConfig config;
  config.threads = {{.packets_directory = "/p0", .index_directory = "/i0"},
                    {.packets_directory = "/p1", .index_directory = "/i1"}};
  config.interfaces = {"em1"};
  return config;
}

TEST(ReloadTest, NothingHasChanged) {
  const ConfigChanges changes = CompareConfigs(Base(), Base());
  EXPECT_THAT(changes.taken, IsEmpty());
  EXPECT_THAT(changes.need_restart, IsEmpty());
}

TEST(ReloadTest, LimitsRolesAndTlsAreTaken) {
  ServerConfig fresh = Base();
  fresh.threads[1].max_bytes = 5;
  fresh.tls.min_version = "1.3";
  fresh.query.timeout_seconds = 7;
  fresh.roles = {{.name = "lead", .certificates = {"*"}}};
  const ConfigChanges changes = CompareConfigs(Base(), fresh);
  EXPECT_THAT(changes.taken,
              ElementsAre("Query.TimeoutSeconds", "Roles", "Threads[1].MaxBytes", "Tls.MinVersion"));
  EXPECT_THAT(changes.need_restart, IsEmpty());
  EXPECT_EQ(ToJson(changes.effective), ToJson(fresh));
}

TEST(ReloadTest, TheRestWaitsForARestart) {
  ServerConfig fresh = Base();
  fresh.interfaces = {"em2"};
  fresh.port = 99;
  fresh.query.max_concurrent = 3;
  fresh.query.max_bytes = 4;
  fresh.threads[0] = {.packets_directory = "/elsewhere", .index_directory = "/i0", .max_bytes = 6};
  fresh.threads.pop_back();
  const ConfigChanges changes = CompareConfigs(Base(), fresh);
  EXPECT_THAT(changes.taken, ElementsAre("Query.MaxBytes"));
  EXPECT_THAT(changes.need_restart,
              ElementsAre("Interface", "Port", "Query.MaxConcurrent", "Threads[0].MaxBytes",
                          "Threads[0].PacketsDirectory", "Threads[1]"));
  EXPECT_EQ(changes.effective.threads[0].max_bytes, 0u) << "another directory's limit";
  EXPECT_EQ(changes.effective.port, 1234);
}

}  // namespace
}  // namespace steno
