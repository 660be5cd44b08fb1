// What a crash left behind: hidden packet files that no process holds. Their valid prefix is published under
// the file's name (from its block headers); nothing that reached the disk is thrown away. Files with no valid
// block are removed if they hold only zeros, and otherwise left for a person, with a warning.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace steno {

struct RecoveredFile {
  std::string name;  // final name in the packets directory; it has no index yet
  uint64_t valid_bytes = 0;
  uint64_t packets = 0;
};

struct RecoveryReport {
  std::vector<RecoveredFile> published;
  unsigned removed_empty = 0;         // packet files
  unsigned in_use = 0;                // locked by a living writer: left alone
  std::vector<std::string> problems;  // one line per file that could not be handled
};

// Safe while a stenotype writes to the same directory, and against another recovery. Also removes leftovers
// of interrupted index writing (hidden files ".<digits>") in `index_directory`, and of interrupted deletion
// (indexes without packet file). A writer of an index must hold flock(LOCK_EX) on its hidden file from its
// creation to the rename: what is locked is left alone, what is not is removed.
Result<RecoveryReport> RecoverDirectory(const std::string& packets_directory,
                                        const std::string& index_directory);

}  // namespace steno
