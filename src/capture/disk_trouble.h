// DiskTrouble: whether a capture thread's disk takes what it is given.
//
// An episode begins when a packet cannot go to disk, and is over once a block was stored and nothing has
// failed for a while (kDiskCalmNs). The log gets one line at either end; the arena's counters tell meanwhile
// (disk_errno and its neighbours in index/arena.h). Decides how often a failing disk is tried. One owner
// thread. Times are monotonic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "index/arena.h"

namespace steno {

// Without progress for so long, a disk counts as stalled: its error is then kDiskStalled.
inline constexpr int64_t kDiskStallNs = 5 * kNsPerSecond;
inline constexpr int64_t kDiskCalmNs = 3 * kNsPerSecond;

class DiskTrouble {
 public:
  // `directory` is for the log. `counters` must outlive this.
  DiskTrouble(unsigned thread, std::string directory, CaptureCounters& counters);

  // `what` has failed with `error`. `since_ns`: since when packets have been held up by it.
  void Failed(int error, std::string_view what, int64_t since_ns, int64_t now_ns);
  // The same for a write that the disk refused: the next write waits for MayWrite().
  void WriteFailed(int error, std::string_view what, int64_t now_ns);
  // A block is on disk.
  void Stored(int64_t now_ns);
  // About once a second, when the drops of the ring have just been read.
  void EverySecond(int64_t now_ns);

  [[nodiscard]] bool lasting() const { return since_ns_ != 0; }
  // After a refused write one is tried at a time, with pauses: blocks are better off in the ring than in
  // writes that fail. `in_flight`: writes under way.
  [[nodiscard]] bool MayWrite(unsigned in_flight, int64_t now_ns) const {
    return retry_pause_ns_ == 0 || (in_flight == 0 && now_ns >= retry_ns_);
  }

 private:
  [[nodiscard]] uint64_t Lost() const;

  const unsigned thread_;
  const std::string directory_;
  CaptureCounters& counters_;
  int64_t since_ns_ = 0;  // 0: no trouble
  int64_t failed_ns_ = 0;
  int64_t stored_ns_ = 0;
  int64_t retry_ns_ = 0;
  int64_t retry_pause_ns_ = 0;  // 0: the latest write was not refused
  uint64_t lost_before_ = 0;
};

}  // namespace steno
