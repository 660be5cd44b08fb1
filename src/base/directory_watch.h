// DirectoryWatch: tells, at the cost of one stat(2), whether a directory needs to be read again. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"

namespace steno {

// Tells whether the content of a directory may have changed since it was last read.
class DirectoryWatch {
 public:
  explicit DirectoryWatch(std::string path) : path_(std::move(path)) {}

  // True if it must be read (again); from then on it counts as read. Call Forget() if reading it failed.
  Result<bool> NeedsReading();
  void Forget() { known_ = false; }

 private:
  struct Stamp {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  std::string path_;
  Stamp stamp_;
  bool known_ = false;
  bool racy_ = false;  // read so soon after its last change that another one may bear the same time
};

}  // namespace steno
