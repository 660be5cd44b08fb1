#include "server/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

class AuditLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<AuditLog> Open() {
    auto log = AuditLog::Open(path_, stats_);
    EXPECT_TRUE(log) << log.error().message;
    return log ? std::move(*log) : nullptr;
  }
  static std::vector<nlohmann::json> Lines(const std::string& path) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  static AuditSubject Subject(const std::string& query) {
    return {.client = {ClientIdentity::Kind::kCertificate, "ann", "192.0.2.1:1"},
            .role = "lead",
            .operation = "query",
            .query = query,
            .filter = ""};
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/audit.json";
  ServerStats stats_;
};

TEST_F(AuditLogTest, OneLineEach) {
  {
    const auto log = Open();
    QueryStats stats;
    stats.files_opened = 3;
    stats.problems = {"a", "b"};
    log->WriteQuery(Subject("port 80\n\"x\""), {.format = "pcap",
                                                .limits = {5, 6},
                                                .stats = stats,
                                                .packets = 7,
                                                .bytes = 8,
                                                .drops = 9,
                                                .duration_ns = 1'500'000,
                                                .outcome = "complete"});
    log->WriteRefusal(Subject("port"), "no");
  }
  const auto lines = Lines(path_);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["query"], "port 80\n\"x\"");
  EXPECT_EQ(lines[0]["plan"]["files_opened"], 3);
  EXPECT_EQ(lines[0]["limits"]["packets"], 5);
  EXPECT_EQ(lines[0]["problems"], 2);
  EXPECT_EQ(lines[0]["duration_ms"], 1.5);
  EXPECT_EQ(lines[1]["outcome"], "refused");
  EXPECT_EQ(stats_.audit_lines, 2u);
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u & ~::umask(::umask(0)));
}

TEST_F(AuditLogTest, FollowsRotationByRenamingAndByTruncating) {
  const auto log = Open();
  log->WriteRefusal(Subject("one"), "no");
  log->Flush();
  std::filesystem::rename(path_, path_ + ".1");
  log->WriteRefusal(Subject("two"), "no");
  log->Flush();
  ASSERT_EQ(Lines(path_ + ".1").size(), 1u);
  ASSERT_EQ(Lines(path_).size(), 1u);
  EXPECT_EQ(Lines(path_)[0]["query"], "two");
  std::filesystem::resize_file(path_, 0);
  log->WriteRefusal(Subject("three"), "no");
  log->Flush();
  ASSERT_EQ(Lines(path_).size(), 1u) << "appended at the new end, no hole before it";
  EXPECT_EQ(Lines(path_)[0]["query"], "three");
}

TEST_F(AuditLogTest, LinesThatCannotBeWrittenAreCounted) {
  const auto log = Open();
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  log->WriteRefusal(Subject("lost"), "no");
  log->Flush();
  EXPECT_EQ(stats_.audit_lost, 1u);
  std::filesystem::remove(path_);
  log->WriteRefusal(Subject("found"), "no");
  log->Flush();
  EXPECT_EQ(stats_.audit_lines, 1u);
  EXPECT_EQ(Lines(path_).size(), 1u);
}

TEST_F(AuditLogTest, AFileThatCannotBeOpenedIsNamed) {
  const auto log = AuditLog::Open("/nonexistent/audit.json", stats_);
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error().message, HasSubstr("Audit.Path: /nonexistent/audit.json"));
}

}  // namespace
}  // namespace steno
