// CaptureDirectories: the directory tree that stenotype's --dir names: links PKT<n> and IDX<n> to the
// configured directories, which are created where they are missing. The tree is removed when the object is
// destroyed; its targets stay. It is locked (flock) while it is in use, so that a later server can tell a
// tree that a killed one left behind, and removes it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "query/store.h"

namespace steno {

// Who is to own directories that have to be created; -1: the process.
struct DirectoryOwner {
  int64_t uid = -1;
  int64_t gid = -1;
};

// The owner that the flags --uid and --gid of stenotype name, if this process may give files away (root); a
// name that does not exist counts as not given: stenotype reports it.
DirectoryOwner OwnerFromFlags(const std::vector<std::string>& flags);

class CaptureDirectories {
 public:
  static Result<CaptureDirectories> Create(const std::vector<StoreDirectory>& directories,
                                           const DirectoryOwner& owner);
  CaptureDirectories(CaptureDirectories&& other) noexcept
      : path_(std::move(other.path_)), lock_(std::move(other.lock_)) {
    other.path_.clear();
  }
  CaptureDirectories& operator=(CaptureDirectories&&) = delete;
  ~CaptureDirectories();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit CaptureDirectories(std::string path) : path_(std::move(path)) {}

  std::string path_;
  UniqueFd lock_;
};

// Removes the trees in `parent` that this user's dead servers left: named as ours, older than a minute, not
// locked, with nothing but links in them. Returns how many.
unsigned RemoveAbandonedTrees(const std::string& parent);

}  // namespace steno
