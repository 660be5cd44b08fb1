#include "server/maintenance.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/log.h"
#include "storage/recovery.h"

namespace steno {
namespace {

constexpr std::chrono::milliseconds kRetentionPause(250);
constexpr unsigned kPassesPerStoreRefresh = 4;
constexpr std::chrono::milliseconds kFirstRecoveryPause(50);  // doubles up to the longest
constexpr std::chrono::milliseconds kLongestRecoveryPause(300'000);
constexpr size_t kMaxReported = 1000;
constexpr int64_t kLogPeriodNs = 30 * kNsPerSecond;

}  // namespace

std::vector<RetentionDirectory> DistinctDirectories(const std::vector<ThreadConfig>& threads) {
  std::vector<RetentionDirectory> distinct;
  for (const ThreadConfig& thread : threads) {
    const auto same =
        std::find_if(distinct.begin(), distinct.end(), [&](const RetentionDirectory& directory) {
          return directory.packets_directory == thread.packets_directory &&
                 directory.index_directory == thread.index_directory;
        });
    if (same == distinct.end()) {
      distinct.push_back({thread.packets_directory, thread.index_directory, thread.disk_free_percentage,
                          thread.max_directory_files});
    } else {
      same->disk_free_percent = std::max(same->disk_free_percent, thread.disk_free_percentage);
      same->max_files = std::min(same->max_files, thread.max_directory_files);
    }
  }
  return distinct;
}

Maintenance::Maintenance(std::vector<RetentionDirectory> directories, Store& store, ServerStats& stats,
                         std::function<void(const std::vector<std::string>&)> on_recovered)
    : directories_(std::move(directories)),
      store_(store),
      stats_(stats),
      on_recovered_(std::move(on_recovered)),
      retention_(directories_),
      unsatisfied_log_(kLogPeriodNs),
      problem_log_(kLogPeriodNs),
      enforcement_("retention",
                   [this](const std::stop_token&) {
                     EnforceRetention();
                     return kRetentionPause;
                   }),
      recovery_("recovery", [this](const std::stop_token& stop) {
        Recover(stop);
        return NextRecoveryPause();
      }) {}

void Maintenance::EnforceRetention() {
  const RetentionReport report = retention_.Enforce();
  stats_.aged_files.fetch_add(report.files_deleted);
  stats_.aged_bytes.fetch_add(report.bytes_deleted);
  if (report.files_deleted != 0) {
    STENO_INFO("deleted the {} oldest files, {} bytes", report.files_deleted, report.bytes_deleted);
  }
  if (!report.satisfied) {
    if (unsatisfied_log_.Allow(MonotonicNs())) {
      STENO_WARN("the disks or directories are over their limits, and no packet file is left to delete");
    }
  }
  for (const std::string& problem : report.problems) {
    if (const auto held_back = problem_log_.Allow(MonotonicNs())) {
      STENO_WARN("retention: {} ({} like it not shown)", problem, *held_back);
    }
  }
  if (++passes_ % kPassesPerStoreRefresh == 0) store_.Snapshot();
}

std::chrono::milliseconds Maintenance::NextRecoveryPause() {
  recovery_pause_ = recovery_requested_.exchange(false)
                        ? kFirstRecoveryPause
                        : std::min(2 * recovery_pause_, kLongestRecoveryPause);
  return recovery_pause_;
}

void Maintenance::WarnOnce(const std::string& problem) {
  if (reported_.size() > kMaxReported) reported_.clear();
  if (reported_.insert(problem).second) STENO_WARN("recovery: {}", problem);
}

void Maintenance::Recover(const std::stop_token& stop) {
  std::vector<std::string> published;
  for (const RetentionDirectory& directory : directories_) {
    if (stop.stop_requested()) return;
    const auto report = RecoverDirectory(directory.packets_directory, directory.index_directory);
    if (!report) {
      WarnOnce(report.error().message);
      continue;
    }
    for (const std::string& problem : report->problems) WarnOnce(problem);
    for (const RecoveredFile& file : report->published) {
      published.push_back(directory.packets_directory + "/" + file.name);
    }
  }
  stats_.recovered_files.fetch_add(published.size());
  if (!published.empty()) on_recovered_(published);
}

}  // namespace steno
