// Retention: deletes the oldest packet files, with their indexes, so that disks and directories stay within
// limits.
//
// One owner thread. Files are ordered by name (microseconds) over all directories that share a disk, so
// threads on one disk lose history evenly. Hidden files and files with foreign names are never touched. A
// file that a reader holds open stays whole until it is closed; others are freed in steps (remove_file.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/free_space.h"

namespace steno {

struct RetentionDirectory {
  std::string packets_directory;
  std::string index_directory;
  double disk_free_percent =
      10;                      // of the packets directory's file system, also kept on the index directory's
  uint64_t max_files = 30000;  // in the packets directory
};

struct RetentionReport {
  uint64_t files_deleted = 0;
  uint64_t bytes_deleted = 0;
  bool satisfied = true;              // false: nothing more to delete and a limit is still broken
  std::vector<std::string> problems;  // one line per failure; the pass went on with the next file
};

class Retention {
 public:
  explicit Retention(std::vector<RetentionDirectory> directories);

  // One pass: removes indexes that have lost their packet file, then deletes until every limit holds. Space
  // that a deletion frees is measured; where it shows late (see FreeSpace), the pass does not delete on for
  // ten seconds.
  RetentionReport Enforce();

 private:
  class Pass;

  std::vector<RetentionDirectory> directories_;
  std::map<uint64_t, FreeSpace> disks_;  // by device number, from pass to pass
};

}  // namespace steno
