#include "storage/retention_inventory.h"

#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/file.h"

namespace steno {
namespace {

uint64_t BytesOnDisk(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

uint64_t IdOf(const InventoryFile& entry) { return entry.file.id; }

}  // namespace

void RetentionInventory::Sizes::Update(const std::string& directory, const std::vector<NamedFile>& listing) {
  std::vector<uint64_t> sizes;
  sizes.reserve(listing.size());
  size_t known = 0;
  for (const NamedFile& file : listing) {
    while (known < files.size() && files[known].id < file.id) ++known;
    const bool same = known < files.size() && files[known].id == file.id && files[known].inode == file.inode;
    sizes.push_back(same ? bytes[known] : BytesOnDisk(directory + "/" + file.name));
  }
  files = listing;
  bytes = std::move(sizes);
}

uint64_t RetentionInventory::Sizes::Of(uint64_t id) const {
  const auto at = std::ranges::lower_bound(files, id, {}, &NamedFile::id);
  return at != files.end() && at->id == id ? bytes[static_cast<size_t>(at - files.begin())] : 0;
}

// Sets seen_us of files_ and puts them in order.
void RetentionInventory::NoteFuture(uint64_t now_us) {
  if (!future_.empty()) std::ranges::sort(files_, {}, IdOf);
  std::vector<InventoryFile> future;
  for (InventoryFile& entry : files_) {
    const auto known = std::ranges::lower_bound(future_, entry.file.id, {}, IdOf);
    if (known != future_.end() && known->file.id == entry.file.id) {
      entry.seen_us = std::min(known->seen_us, now_us);
    } else if (entry.file.id > now_us) {
      entry.seen_us = now_us;
    }
    if (entry.seen_us != 0) future.push_back(entry);
  }
  future_ = std::move(future);
  if (future_.empty()) return;
  std::ranges::sort(files_, [](const InventoryFile& a, const InventoryFile& b) {
    return std::tuple(a.order_us(), a.file.id) < std::tuple(b.order_us(), b.file.id);
  });
}

Result<bool> RetentionInventory::NeedsReading() {
  STENO_TRY(const bool packets, packets_watch_.NeedsReading());
  STENO_TRY(const bool indexes, index_watch_.NeedsReading());
  return packets || indexes || young_orphans_;
}

Status RetentionInventory::Refresh(uint64_t now_us, bool with_bytes) {
  STENO_TRY(const bool changed, NeedsReading());
  if (changed || with_bytes != with_bytes_) {
    with_bytes_ = with_bytes;
    if (Status read = Read(with_bytes); !read) {
      packets_watch_.Forget();
      return read;
    }
  }
  NoteFuture(now_us);
  return {};
}

Status RetentionInventory::Read(bool with_bytes) {
  files_.clear();
  orphans_.clear();
  young_orphans_ = false;
  // The packets first: FindOrphanIndexes() wants it so.
  STENO_TRY(std::vector<DirectoryEntry> packet_entries, ListEntries(packets_directory_));
  STENO_TRY(std::vector<DirectoryEntry> index_entries, ListEntries(index_directory_));
  std::vector<NamedFile> packets = SelectPacketFiles(std::move(packet_entries));
  const std::vector<NamedFile> indexes = SelectPacketFiles(std::move(index_entries));
  for (const NamedFile& orphan : FindOrphanIndexes(packets, indexes)) {
    std::string path = index_directory_ + "/" + orphan.name;
    if (IsAbandonedIndex(path)) {
      orphans_.push_back(std::move(path));
    } else {
      young_orphans_ = true;
    }
  }
  if (with_bytes) {
    packet_sizes_.Update(packets_directory_, packets);
    index_sizes_.Update(index_directory_, indexes);
  }
  for (NamedFile& file : packets) {
    const uint64_t bytes = with_bytes ? packet_sizes_.Of(file.id) + index_sizes_.Of(file.id) : 0;
    files_.push_back({std::move(file), 0, bytes});
  }
  return {};
}

}  // namespace steno
