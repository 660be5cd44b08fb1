// DirectoryCatalog: the published packet files of one capture directory, kept up to date at the cost of two
// stat(2) calls while nothing changes.
//
// Not thread-safe: its store serialises the calls. The files it hands out are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/directory_watch.h"
#include "base/result.h"
#include "query/published_file.h"
#include "query/store.h"

namespace steno {

class DirectoryCatalog {
 public:
  // `cache` is borrowed.
  DirectoryCatalog(StoreDirectory directory, uint32_t thread, std::shared_ptr<ProblemLog> log,
                   IndexCache& cache);

  // Adds new files, drops those that are gone, and takes up indexes that appeared. Appends to `problems` what
  // could not be read; the files known so far remain.
  void Refresh(std::vector<std::string>& problems);

  // In order of their names, which are times.
  [[nodiscard]] const std::vector<std::shared_ptr<const PublishedFile>>& files() const { return files_; }

 private:
  using FilePtr = std::shared_ptr<const PublishedFile>;

  void ReadPackets(std::vector<std::string>& problems);
  void ReadIndexes(std::vector<std::string>& problems);
  std::vector<FilePtr> Load(const std::vector<std::string>& names, std::vector<std::string>& problems);

  StoreDirectory directory_;
  uint32_t thread_;
  std::shared_ptr<ProblemLog> log_;
  IndexCache* cache_;
  DirectoryWatch packets_watch_;
  DirectoryWatch index_watch_;
  std::vector<FilePtr> files_;
};

}  // namespace steno
