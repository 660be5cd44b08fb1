// RetentionInventory: what retention knows about the files of one pair of directories, from pass to pass.
//
// Oldest first means: by name, which is the time of the first packet. Names in the future (the clock was
// wrong and has been set back) are not believed: such a file was recorded before it was first seen, and
// counts as of then. So what is recorded after the clock was set back is not taken for older. This is kept in
// memory: a restart sees such files anew. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/directory_watch.h"
#include "base/result.h"
#include "storage/file_names.h"

namespace steno {

struct InventoryFile {
  NamedFile file;
  uint64_t seen_us = 0;  // when it was first seen, if its name was in the future then
  uint64_t bytes = 0;    // on disk, with its index; 0 unless asked for
  [[nodiscard]] uint64_t order_us() const { return seen_us != 0 ? seen_us : file.id; }
};

class RetentionInventory {
 public:
  RetentionInventory(std::string packets_directory, std::string index_directory)
      : packets_directory_(std::move(packets_directory)),
        index_directory_(std::move(index_directory)),
        packets_watch_(packets_directory_),
        index_watch_(index_directory_) {}

  // Lists both directories if they have changed. `with_bytes`: finds out sizes, too; published
  // files keep theirs, so only new ones cost a look. After an error there is no inventory.
  Status Refresh(uint64_t now_us, bool with_bytes);

  // Oldest first.
  [[nodiscard]] const std::vector<InventoryFile>& files() const { return files_; }
  // Paths of indexes that lost their packet file.
  [[nodiscard]] const std::vector<std::string>& orphans() const { return orphans_; }

 private:
  // A listing, by name, and the sizes of its files as far as they are known.
  struct Sizes {
    std::vector<NamedFile> files;
    std::vector<uint64_t> bytes;
    void Update(const std::string& directory, const std::vector<NamedFile>& listing);
    [[nodiscard]] uint64_t Of(uint64_t id) const;
  };

  [[nodiscard]] Result<bool> NeedsReading();
  Status Read(bool with_bytes);
  void NoteFuture(uint64_t now_us);

  std::string packets_directory_;
  std::string index_directory_;
  DirectoryWatch packets_watch_;
  DirectoryWatch index_watch_;
  std::vector<InventoryFile> files_;
  std::vector<std::string> orphans_;
  bool with_bytes_ = false;
  bool young_orphans_ = false;  // there are some that may be about to get their packets
  Sizes packet_sizes_;
  Sizes index_sizes_;
  std::vector<InventoryFile> future_;  // those with seen_us, by name
};

}  // namespace steno
