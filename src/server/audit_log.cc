#include "server/audit_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "query/time_parse.h"

namespace steno {
namespace {

using Json = nlohmann::ordered_json;

Result<UniqueFd> OpenForAppending(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!file.valid()) return Fail(Error::System("Audit.Path: " + path));
  return file;
}

Json SubjectToJson(const AuditSubject& subject) {
  const bool certificate = subject.client.kind == ClientIdentity::Kind::kCertificate;
  return {{"time", internal::FormatTime(WallNs())},
          {"operation", subject.operation},
          {"client", {{"kind", certificate ? "certificate" : "user"}, {"name", subject.client.name}}},
          {"address", subject.client.address},
          {"role", subject.role},
          {"query", subject.query},
          {"filter", subject.filter}};
}

// Bytes that are no UTF-8 are replaced: a line is always JSON.
std::string Line(const Json& entry) {
  return entry.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const std::string& path, ServerStats& stats) {
  STENO_TRY(UniqueFd file, OpenForAppending(path));
  return std::unique_ptr<AuditLog>(new AuditLog(path, std::move(file), stats));
}

AuditLog::AuditLog(std::string path, UniqueFd file, ServerStats& stats)
    : path_(std::move(path)),
      file_(std::move(file)),
      stats_(stats),
      log_(10 * kNsPerSecond),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

AuditLog::~AuditLog() {
  thread_.request_stop();
  thread_.join();
}

void AuditLog::WriteQuery(const AuditSubject& subject, const AuditResult& result) {
  Json entry = SubjectToJson(subject);
  const QueryStats& stats = result.stats;
  entry["format"] = result.format;
  entry["limits"] = {{"packets", result.limits.packets}, {"bytes", result.limits.bytes}};
  entry["plan"] = {{"files", stats.files_considered},    {"files_ruled_out", stats.files_ruled_out},
                   {"files_opened", stats.files_opened}, {"files_scanned", stats.files_scanned},
                   {"bytes_read", stats.bytes_read},     {"packets_read", stats.packets_read}};
  entry["packets"] = result.packets;
  entry["bytes"] = result.bytes;
  entry["drops"] = result.drops;
  entry["problems"] = stats.problems.size();
  entry["duration_ms"] = static_cast<double>(result.duration_ns / 1000) / 1000;
  entry["outcome"] = result.outcome;
  Enqueue(Line(entry));
}

void AuditLog::WriteRefusal(const AuditSubject& subject, const std::string& reason) {
  Json entry = SubjectToJson(subject);
  entry["outcome"] = "refused";
  entry["reason"] = reason;
  Enqueue(Line(entry));
}

void AuditLog::Enqueue(std::string line) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaitingLines) {
    stats_.audit_lost.fetch_add(1);
    return;
  }
  waiting_.push_back(std::move(line));
  wake_.notify_one();
}

void AuditLog::Flush() {
  std::unique_lock lock(mutex_);
  written_.wait(lock, [this] { return waiting_.empty() && !writing_; });
}

void AuditLog::Run(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "audit");
  for (;;) {
    std::string text;
    uint64_t lines = 0;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, stop, [this] { return !waiting_.empty(); });
      if (waiting_.empty()) return;
      lines = waiting_.size();
      for (const std::string& line : waiting_) text += line;
      waiting_.clear();
      writing_ = true;
    }
    WriteLines(std::move(text), lines);
    const std::lock_guard lock(mutex_);
    writing_ = false;
    written_.notify_all();
  }
}

// Whoever rotates by renaming leaves the path empty or to another file.
Status AuditLog::FollowRotation() {
  struct stat at_path{};
  struct stat ours{};
  const bool there = ::stat(path_.c_str(), &at_path) == 0;
  if (there && ::fstat(file_.get(), &ours) == 0 && at_path.st_ino == ours.st_ino &&
      at_path.st_dev == ours.st_dev)
    return {};
  STENO_TRY(file_, OpenForAppending(path_));
  return {};
}

void AuditLog::WriteLines(std::string text, uint64_t lines) {
  Status status = FollowRotation();
  for (size_t at = 0; status && at < text.size();) {
    const ssize_t put = ::write(file_.get(), text.data() + at, text.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      status = Fail(Error::System("Audit.Path: " + path_));
    } else {
      at += static_cast<size_t>(put);
    }
  }
  if (status) {
    stats_.audit_lines.fetch_add(lines);
    return;
  }
  stats_.audit_lost.fetch_add(lines);
  if (log_.Allow(MonotonicNs())) STENO_ERROR("audit lines are lost: {}", status.error().message);
}

}  // namespace steno
