// FreeSpace: how much of a file system is free, counting what was deleted but is not free yet.
//
// Some file systems free the space of a deleted file later (XFS inode garbage collection, ZFS and btrfs
// transactions), and all of them keep it while a reader has the file open. A retention that looked only at
// statfs() would delete file after file meanwhile. So what a deletion should free is credited, until it shows
// or kCreditNs are over; from then on only what is measured counts. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace steno {

struct SpaceMeasure {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for unprivileged writers
};

// By statfs(2). Free is f_bavail, which leaves out what the file system keeps for root: stenotype is not
// root, so an ext4 disk with 5 % reserved would be full for it at "5 % free". Total is f_blocks. (df shows
// the same two.)
Result<SpaceMeasure> MeasureSpace(const std::string& directory);

class FreeSpace {
 public:
  static constexpr int64_t kCreditNs = 10 * kNsPerSecond;

  // Takes a measure at `now_ns`: growth since the previous one settles credits, oldest first.
  void Measured(const SpaceMeasure& measure, int64_t now_ns);
  // A file of `bytes` was deleted after the latest measure.
  void Deleted(uint64_t bytes, int64_t now_ns);

  // Free space with credits, of the total, 0..100. Credits do not count when less than 1 % is really free:
  // then the writer is about to stop.
  [[nodiscard]] double free_percent() const;

 private:
  struct Credit {
    uint64_t bytes;
    int64_t expires_ns;
  };
  SpaceMeasure latest_;
  std::deque<Credit> credits_;
};

}  // namespace steno
