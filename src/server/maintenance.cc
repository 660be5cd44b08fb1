#include "server/maintenance.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "server/explain_retention.h"
#include "storage/recovery.h"

namespace steno {
namespace {

constexpr std::chrono::milliseconds kRetentionPause(250);
constexpr std::chrono::milliseconds kStoreRefreshPause(1000);
constexpr std::chrono::milliseconds kFirstRecoveryPause(50);  // doubles up to the longest
constexpr std::chrono::milliseconds kLongestRecoveryPause(300'000);
constexpr size_t kMaxReported = 1000;
constexpr int64_t kLogPeriodNs = 30 * kNsPerSecond;

}  // namespace

std::vector<RetentionDirectory> DistinctDirectories(const std::vector<ThreadConfig>& threads,
                                                    size_t interfaces) {
  std::vector<RetentionDirectory> distinct;
  for (const ThreadConfig& thread : threads) {
    const auto same =
        std::find_if(distinct.begin(), distinct.end(), [&](const RetentionDirectory& directory) {
          return directory.packets_directory == thread.packets_directory &&
                 directory.index_directory == thread.index_directory;
        });
    if (same == distinct.end()) {
      distinct.push_back({thread.packets_directory, thread.index_directory, thread.disk_free_percentage,
                          thread.max_directory_files, thread.max_bytes, thread.max_age_ns, interfaces > 1});
    } else {
      same->disk_free_percent = std::max(same->disk_free_percent, thread.disk_free_percentage);
      same->max_files = std::min(same->max_files, thread.max_directory_files);
      same->max_bytes = StricterLimit(same->max_bytes, thread.max_bytes);
      same->max_age_ns = StricterLimit(same->max_age_ns, thread.max_age_ns);
      same->several_writers = true;
    }
  }
  return distinct;
}

std::vector<std::vector<RetentionDirectory>> GroupByDisk(const std::vector<RetentionDirectory>& directories) {
  struct Group {
    std::set<dev_t> disks;
    std::vector<RetentionDirectory> directories;
  };
  std::vector<Group> groups;
  for (const RetentionDirectory& directory : directories) {
    Group joined;
    for (const std::string& path : {directory.packets_directory, directory.index_directory}) {
      struct stat info{};
      if (::stat(path.c_str(), &info) == 0) joined.disks.insert(info.st_dev);
    }
    // It may join groups that had nothing in common so far.
    std::erase_if(groups, [&](Group& group) {
      const bool shares =
          std::ranges::any_of(group.disks, [&](dev_t disk) { return joined.disks.contains(disk); });
      if (!shares) return false;
      joined.disks.merge(group.disks);
      std::ranges::move(group.directories, std::back_inserter(joined.directories));
      return true;
    });
    joined.directories.push_back(directory);
    groups.push_back(std::move(joined));
  }
  std::vector<std::vector<RetentionDirectory>> grouped;
  for (Group& group : groups) grouped.push_back(std::move(group.directories));
  return grouped;
}

Maintenance::Maintenance(std::vector<RetentionDirectory> directories, Store& store, ServerStats& stats,
                         std::function<void(const std::vector<std::string>&)> on_recovered)
    : directories_(std::move(directories)),
      store_(store),
      stats_(stats),
      on_recovered_(std::move(on_recovered)),
      recovery_("recovery",
                [this](const std::stop_token& stop) {
                  Recover(stop);
                  return NextRecoveryPause();
                }),
      store_refresh_("store", [this](const std::stop_token&) {
        store_.Snapshot();
        return kStoreRefreshPause;
      }) {
  for (std::vector<RetentionDirectory>& on_disk : GroupByDisk(directories_)) {
    disks_.push_back(std::make_unique<Disk>(*this, std::move(on_disk)));
  }
}

Maintenance::Disk::Disk(Maintenance& owner, std::vector<RetentionDirectory> on_disk)
    : retention(std::move(on_disk)),
      unsatisfied_log(kLogPeriodNs),
      problem_log(kLogPeriodNs),
      ticker("retention", [this, &owner](const std::stop_token&) {
        owner.EnforceRetention(*this);
        return kRetentionPause;
      }) {}

void Maintenance::Count(Disk& disk, const RetentionReport& report) {
  for (const DeletedFile& file : report.deleted) {
    const auto cause = static_cast<size_t>(file.cause);
    stats_.deleted_files[cause].fetch_add(1);
    stats_.deleted_bytes[cause].fetch_add(file.bytes);
  }
  stats_.aged_files.fetch_add(report.deleted.size());
  stats_.aged_bytes.fetch_add(report.bytes_deleted);
  stats_.cut_files.fetch_add(report.cut.size());
  stats_.held_files.fetch_add(report.held_files - disk.held_files);  // modulo 2^64: the sum over all disks
  stats_.held_bytes.fetch_add(report.held_bytes - disk.held_bytes);
  disk.held_files = report.held_files;
  disk.held_bytes = report.held_bytes;
}

void Maintenance::SetLimits(std::vector<RetentionDirectory> directories) {
  const std::lock_guard lock(limits_mutex_);
  limits_ = std::move(directories);
  ++limits_number_;
}

void Maintenance::TakeLimits(Disk& disk) {
  const std::lock_guard lock(limits_mutex_);
  if (disk.limits_seen == limits_number_) return;
  disk.retention.TakeLimits(limits_);
  disk.limits_seen = limits_number_;
}

void Maintenance::EnforceRetention(Disk& disk) {
  TakeLimits(disk);
  const RetentionReport report = disk.retention.Enforce();
  Count(disk, report);
  if (!report.deleted.empty()) {
    STENO_INFO("deleted the {} oldest files, {} bytes", report.deleted.size(), report.bytes_deleted);
  }
  for (const std::string& path : report.cut)
    STENO_WARN("retention: {} was cut while it was being read: the disk was about to be full", path);
  for (size_t cause = 0; cause < kRetentionCauses; ++cause) {
    if (report.unsatisfied[cause] && disk.unsatisfied_log.Allow(MonotonicNs())) {
      STENO_WARN("the disks or directories are over their limits ({}), and no packet file is left to delete",
                 LimitName(static_cast<RetentionCause>(cause)));
    }
  }
  for (const std::string& problem : report.problems) {
    if (const auto held_back = disk.problem_log.Allow(MonotonicNs())) {
      STENO_WARN("retention: {} ({} like it not shown)", problem, *held_back);
    }
  }
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

std::vector<const Ticker*> Maintenance::limit_keepers() const {
  std::vector<const Ticker*> tickers{&store_refresh_};
  for (const auto& disk : disks_) tickers.push_back(&disk->ticker);
  return tickers;
}

}  // namespace steno
