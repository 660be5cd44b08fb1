#include "server/maintenance.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "storage/recovery.h"

namespace steno {
namespace {

constexpr std::chrono::milliseconds kRetentionPause(250);
constexpr unsigned kPassesPerStoreRefresh = 4;
// Recovery is asked for when stenotype ends; the pause only bounds how long a request missed can matter.
constexpr std::chrono::minutes kRecoveryPause(1);
// The kernel drops a dead writer's file locks only when its writes in flight have ended, which may be a moment after its
// exit was seen: while files are locked, a pass is repeated for so long.
constexpr std::chrono::milliseconds kLockedPause(50);
constexpr int64_t kLockedPatienceNs = 5 * kNsPerSecond;
constexpr int64_t kLogPeriodNs = 30 * kNsPerSecond;

}  // namespace

std::vector<RetentionDirectory> DistinctDirectories(const std::vector<ThreadConfig>& threads) {
  std::vector<RetentionDirectory> distinct;
  for (const ThreadConfig& thread : threads) {
    const auto same = std::find_if(distinct.begin(), distinct.end(), [&](const RetentionDirectory& directory) {
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
                         std::function<void()> on_recovered)
    : directories_(std::move(directories)),
      store_(store),
      stats_(stats),
      on_recovered_(std::move(on_recovered)),
      retention_(directories_),
      unsatisfied_log_(kLogPeriodNs),
      problem_log_(kLogPeriodNs),
      enforcement_("retention", kRetentionPause, [this](const std::stop_token&) { EnforceRetention(); }),
      recovery_("recovery", kRecoveryPause, [this](const std::stop_token& stop) { Recover(stop); }) {}

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

void Maintenance::Recover(const std::stop_token& stop) {
  const int64_t end_ns = MonotonicNs() + kLockedPatienceNs;
  while (RecoverOnce(stop) != 0 && MonotonicNs() < end_ns && !stop.stop_requested()) {
    std::this_thread::sleep_for(kLockedPause);
  }
}

unsigned Maintenance::RecoverOnce(const std::stop_token& stop) {
  size_t published = 0;
  unsigned in_use = 0;
  for (const RetentionDirectory& directory : directories_) {
    if (stop.stop_requested()) break;
    const auto report = RecoverDirectory(directory.packets_directory, directory.index_directory);
    if (!report) {
      STENO_WARN("recovery of {}: {}", directory.packets_directory, report.error().message);
      continue;
    }
    for (const RecoveredFile& file : report->published) {
      STENO_INFO("recovered {}/{}: {} packets, {} bytes", directory.packets_directory, file.name, file.packets,
                 file.valid_bytes);
    }
    for (const std::string& problem : report->problems) {
      STENO_WARN("recovery of {}: {}", directory.packets_directory, problem);
    }
    published += report->published.size();
    in_use += report->in_use;
  }
  stats_.recovered_files.fetch_add(published);
  if (published != 0) on_recovered_();
  return in_use;
}

}  // namespace steno
