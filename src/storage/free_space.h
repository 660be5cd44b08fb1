// FreeSpace: how much of a file system is free, counting what was deleted but is not free yet.
//
// Some file systems free the space of a deleted file later (XFS inode garbage collection, ZFS and btrfs
// transactions), and all of them keep it while a reader has the file open. A retention that looked only at
// statfs() would delete file after file meanwhile. So what a deletion should free is credited: what readers
// hold for as long as they do (the caller knows), the rest until it shows or kCreditNs are over. Not
// thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace steno {

struct SpaceMeasure {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for unprivileged writers
  bool quota = false;       // of a project quota, not of the file system
};

// By statfs(2). Free is f_bavail, which leaves out what the file system keeps for root: stenotype is not
// root, so an ext4 disk with 5 % reserved would be full for it at "5 % free". Total is f_blocks. (df shows
// the same two.) A directory that gives its files a project with a quota (ext4, XFS) shows that instead.
Result<SpaceMeasure> MeasureSpace(const std::string& directory);

// What holds where a directory shows `own` and its file system as a whole `whole`: a quota is no promise, the
// file system may be full before.
SpaceMeasure WithinQuota(const SpaceMeasure& own, const SpaceMeasure& whole);

// What a directory takes its space from: a file system, or a project's quota in it.
struct SpacePool {
  uint64_t device = 0;
  uint32_t project = 0;  // 0: none that has a quota
  auto operator<=>(const SpacePool&) const = default;
};
Result<SpacePool> PoolOf(const std::string& directory);

class FreeSpace {
 public:
  static constexpr int64_t kCreditNs = 10 * kNsPerSecond;
  static constexpr int64_t kShortCreditNs = kNsPerSecond;

  // Takes a measure at `now_ns`: growth since the previous one settles credits, oldest first.
  void Measured(const SpaceMeasure& measure, int64_t now_ns);
  // A file of `bytes` was deleted after the latest measure, and nobody is known to have it open.
  void Deleted(uint64_t bytes, int64_t now_ns);
  // All that readers hold of deleted files.
  void SetHeld(uint64_t bytes) { held_bytes_ = bytes; }
  // Below this the writer may be about to stop: readers' files are to be cut, and other credits count for
  // kShortCreditNs.
  void SetScarce(double percent) { scarce_percent_ = percent; }

  // Free space with credits, of the total, 0..100.
  [[nodiscard]] double free_percent() const;
  [[nodiscard]] bool scarce() const;
  [[nodiscard]] const SpaceMeasure& measure() const { return latest_; }

 private:
  struct Credit {
    uint64_t bytes;
    int64_t since_ns;
  };
  SpaceMeasure latest_;
  std::deque<Credit> credits_;
  uint64_t held_bytes_ = 0;
  double scarce_percent_ = 0;
};

}  // namespace steno
