// Retention: deletes the oldest packet files, with their indexes, so that disks and directories stay within
// limits.
//
// One owner thread. Files are ordered by name (retention_inventory.h) over all directories that share a disk,
// so threads on one disk lose history evenly. Hidden files and files with foreign names are never touched. A
// file that a reader holds open loses its name only (held_files.h): nothing else is deleted for its space,
// unless less than half of what is to be free is; then what readers hold is cut. Others are freed in steps
// (remove_file.h).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/free_space.h"
#include "storage/held_files.h"
#include "storage/retention_inventory.h"

namespace steno {

// Why a file goes, in the order in which limits are applied.
enum class RetentionCause : uint8_t { kAge, kFiles, kBytes, kSpace };
inline constexpr size_t kRetentionCauses = 4;

struct RetentionDirectory {
  std::string packets_directory;
  std::string index_directory;
  double disk_free_percent =
      10;                        // of the packets directory's file system, also kept on the index directory's
  uint64_t max_files = 30000;    // in the packets directory
  uint64_t max_bytes = 0;        // of published packet files and their indexes; 0: no limit
  int64_t max_age_ns = 0;        // of a file's last packet; 0: no limit
  bool several_writers = false;  // a file may have packets that are younger than the next file's first
};

struct DeletedFile {
  std::string path;  // of the packets
  uint64_t bytes = 0;
  RetentionCause cause = RetentionCause::kSpace;
};

struct RetentionReport {
  std::vector<DeletedFile> deleted;  // packet files; bytes with their indexes
  uint64_t bytes_deleted = 0;        // that, and orphaned indexes
  uint64_t held_files = 0;           // now: deleted, but open somewhere
  uint64_t held_bytes = 0;
  std::vector<std::string> cut;                      // paths that files which readers hold had
  std::array<bool, kRetentionCauses> unsatisfied{};  // nothing more to delete and this limit is still broken
  std::vector<std::string> problems;  // one line per failure; the pass went on with the next file

  [[nodiscard]] bool satisfied() const { return unsatisfied == decltype(unsatisfied){}; }
};

// A pair of directories as a pass finds it.
struct RetentionState {
  RetentionDirectory directory;
  SpaceMeasure packets_space;
  SpaceMeasure index_space;
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t files_from_future = 0;
  int64_t oldest_ns = 0;  // first packet of the file that goes first; 0: there is no file
  int64_t newest_ns = 0;  // the last file's last packet, as far as its modification tells
};

struct RetentionPlan {
  std::vector<RetentionState> states;
  RetentionReport report;
};

class Retention {
 public:
  explicit Retention(std::vector<RetentionDirectory> directories);

  // From the next pass on the limits that `fresh` has for the same directories hold.
  void TakeLimits(const std::vector<RetentionDirectory>& fresh);

  // One pass: removes indexes that have lost their packet file, then deletes until every limit holds. Space
  // that a deletion frees is measured; where it shows late (see FreeSpace), the pass does not delete on for
  // ten seconds, and what a reader holds counts as free for as long as he does.
  RetentionReport Enforce();

  // What a Retention that begins now would do in its first pass. Changes nothing on disk.
  static RetentionPlan Explain(std::vector<RetentionDirectory> directories);

 private:
  friend class RetentionPass;

  std::vector<RetentionDirectory> directories_;
  std::vector<RetentionInventory> inventories_;  // one per directory
  std::map<SpacePool, FreeSpace> disks_;         // from pass to pass
  HeldFiles held_;
};

}  // namespace steno
