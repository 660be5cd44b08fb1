// Maintenance: keeps the disks within their limits and makes what a crash left behind available, on threads
// of its own.
//
// Retention every 250 ms, on a thread for each disk: one that hangs does not let the others fill up. Recovery
// at the start and when stenotype has ended or could not publish a file, and then again at growing intervals:
// the kernel may hold the files of a killed process (and their locks) for a while, until its last writes are
// through. The store is looked at once a second, so that queries find its list of files fresh. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "query/store.h"
#include "server/config.h"
#include "server/message_limiter.h"
#include "server/server_stats.h"
#include "server/ticker.h"
#include "storage/retention.h"

namespace steno {

// The distinct directory pairs of the configuration: threads may share them, and `interfaces` do. Where they
// disagree the stricter limit holds.
std::vector<RetentionDirectory> DistinctDirectories(const std::vector<ThreadConfig>& threads,
                                                    size_t interfaces = 1);

// Directories that share a disk, by their packets or their indexes, stand together.
std::vector<std::vector<RetentionDirectory>> GroupByDisk(const std::vector<RetentionDirectory>& directories);

class Maintenance {
 public:
  // `on_recovered` is called after each recovery that published files, with their paths: they have no index.
  Maintenance(std::vector<RetentionDirectory> directories, Store& store, ServerStats& stats,
              std::function<void(const std::vector<std::string>&)> on_recovered);

  // Other limits for the same directories.
  void SetLimits(std::vector<RetentionDirectory> directories);

  // The threads that keep limits, which are never at one turn for long. Valid as long as this is.
  [[nodiscard]] std::vector<const Ticker*> limit_keepers() const;

  // Hidden files may have been left behind: look for them.
  void RequestRecovery() {
    recovery_requested_ = true;
    recovery_.Wake();
  }

 private:
  // The upkeep of the directories of one disk.
  struct Disk {
    Disk(Maintenance& owner, std::vector<RetentionDirectory> on_disk);

    Retention retention;
    uint64_t limits_seen = 0;  // the number of those that `retention` has
    MessageLimiter unsatisfied_log;
    MessageLimiter problem_log;
    uint64_t held_files = 0;  // as counted in the statistics
    uint64_t held_bytes = 0;
    Ticker ticker;  // last: its thread uses all of the above
  };

  void EnforceRetention(Disk& disk);
  void TakeLimits(Disk& disk);
  void Count(Disk& disk, const RetentionReport& report);
  void Recover(const std::stop_token& stop);
  std::chrono::milliseconds NextRecoveryPause();
  void WarnOnce(const std::string& problem);

  const std::vector<RetentionDirectory> directories_;
  std::mutex limits_mutex_;
  std::vector<RetentionDirectory> limits_;  // guarded by limits_mutex_; what SetLimits() gave last
  uint64_t limits_number_ = 0;              // guarded by limits_mutex_
  Store& store_;
  ServerStats& stats_;
  const std::function<void(const std::vector<std::string>&)> on_recovered_;
  std::atomic<bool> recovery_requested_{true};
  std::chrono::milliseconds recovery_pause_{0};  // of the recovery thread, as the next
  std::set<std::string> reported_;               // problems that are in the log by now
  std::vector<std::unique_ptr<Disk>> disks_;     // last: their threads use all of the above
  Ticker recovery_;
  Ticker store_refresh_;
};

}  // namespace steno
