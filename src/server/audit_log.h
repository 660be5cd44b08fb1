// AuditLog: one line of JSON for every query and every refusal, appended to a file of its own.
//
// Thread-safe; a call costs the making of the line and never waits for the disk: a thread of its own writes.
// Lines that come faster than the disk takes them, more than kMaxWaitingLines, are lost and counted, as are
// lines that cannot be written. The file may be rotated by renaming (a new one is begun as soon as the path
// does not lead to the old one) or by copying and truncating it. Fields: docs/API.md,
// packaging/audit.schema.json.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "query/execute.h"
#include "query/query_limits.h"
#include "server/client_identity.h"
#include "server/message_limiter.h"
#include "server/server_stats.h"

namespace steno {

struct AuditSubject {
  ClientIdentity client{};
  std::string role{};
  std::string operation{};
  std::string query{};   // as the client sent it
  std::string filter{};  // the role's
};

struct AuditResult {
  std::string format{};
  QueryLimits limits{};
  QueryStats stats{};
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t drops = 0;
  int64_t duration_ns = 0;
  std::string outcome{};  // "complete", or why not
};

class AuditLog {
 public:
  static constexpr size_t kMaxWaitingLines = 10'000;

  // Opens (makes, mode 0640) the file. The error names the key.
  static Result<std::unique_ptr<AuditLog>> Open(const std::string& path, ServerStats& stats);
  ~AuditLog();  // writes what waits
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  void WriteQuery(const AuditSubject& subject, const AuditResult& result);
  void WriteRefusal(const AuditSubject& subject, const std::string& reason);
  // Returns when all lines up to now have been written or given up.
  void Flush();

 private:
  AuditLog(std::string path, UniqueFd file, ServerStats& stats);
  void Enqueue(std::string line);
  void Run(const std::stop_token& stop);
  void WriteLines(std::string text, uint64_t lines);
  Status FollowRotation();

  const std::string path_;
  UniqueFd file_;  // of the thread
  ServerStats& stats_;
  MessageLimiter log_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  std::condition_variable written_;
  std::deque<std::string> waiting_;
  bool writing_ = false;

  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace steno
