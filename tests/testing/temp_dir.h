// TempDir: a directory that disappears with its content at the end of a test.
#pragma once

#include <string>

namespace steno::testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // Creates a sub-directory and returns its path.
  [[nodiscard]] std::string Make(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace steno::testing
