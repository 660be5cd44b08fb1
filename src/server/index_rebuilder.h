// IndexRebuilder: gives published packet files without an index (left by a crash or a full disk), or with one
// that cannot be read, theirs, and seals indexes that were written raw; one file at a time, at the lowest
// priority of processor and disk, and so many bytes a second at most. Until then queries read such files
// whole, and raw indexes as they are.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/pacer.h"
#include "query/store.h"
#include "server/server_stats.h"
#include "server/ticker.h"

namespace steno {

struct UnindexedFiles {
  std::vector<std::string> names;  // ascending
  bool too_young = false;          // there are some that changed later than `settled_ns`
};

// Packet files of the directory that have no index and have not changed after `settled_ns` (wall clock):
// younger ones may be just between their publication and their index's, unless their path is in `orphans`.
Result<UnindexedFiles> FindUnindexed(const StoreDirectory& directory, int64_t settled_ns,
                                     const std::set<std::string>& orphans);

struct UnsealedIndexes {
  std::vector<std::string> raw;       // ascending
  std::vector<std::string> unusable;  // ascending: damaged, of another version or of another file
};

// Looks at the indexes of the directory whose names are not in `sealed`, which the names of sealed ones and
// of the incumbent's are added to, and those that are gone are taken from.
Result<UnsealedIndexes> FindUnsealed(const StoreDirectory& directory, std::set<std::string>& sealed);

class IndexRebuilder {
 public:
  struct Options {
    std::chrono::milliseconds pause{2000};
    int64_t settle_ns = 15'000'000'000;
    int64_t retry_ns = 600'000'000'000;  // after a failure
    uint64_t bytes_per_second = 0;       // of packet files read; 0: no limit
  };

  IndexRebuilder(std::vector<StoreDirectory> directories, ServerStats& stats, const Options& options);

  // These packet files (paths) were recovered: whoever wrote them is gone, no index is on its way.
  // Thread-safe.
  void AddOrphans(const std::vector<std::string>& paths);

 private:
  enum class Repair : uint8_t { kRebuild, kCompact };
  struct Work {
    std::string name;
    Repair repair;
  };

  void Pass(const std::stop_token& stop);
  // Empty if the directory cannot be looked at. `waiting`: there is, or soon will be, something to do.
  std::vector<Work> FindWork(size_t directory, bool& waiting);
  void Do(const StoreDirectory& directory, const Work& work, const std::stop_token& stop);
  bool Spend(uint64_t bytes, const std::stop_token& stop);

  const std::vector<StoreDirectory> directories_;
  ServerStats& stats_;
  const Options options_;
  std::vector<std::string> seen_;              // per directory: its state when nothing was left to do
  std::vector<std::set<std::string>> sealed_;  // per directory: the indexes that need nothing
  std::mutex mutex_;
  std::set<std::string> orphans_;                  // guarded by mutex_
  std::map<std::string, int64_t> retry_after_ns_;  // packet file path -> CLOCK_MONOTONIC
  Pacer pacer_;                                    // of the bytes read
  bool lowered_ = false;
  Ticker ticker_;  // last: its thread uses all of the above
};

}  // namespace steno
