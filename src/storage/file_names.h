// The names of packet and index files: decimal microseconds since the epoch, hidden (a dot in front) until
// complete. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace steno {

// A published file of a directory.
struct NamedFile {
  uint64_t id = 0;
  std::string name;
  uint64_t inode = 0;  // where it was taken from entries that tell
};

// The number that `name` is, or nullopt unless it is 1 to 19 decimal digits without a leading zero: names
// that differ are then different numbers, and every number fits an int64_t.
std::optional<uint64_t> ParseFileName(std::string_view name);

// Of all entries of a directory, those with final names, oldest first.
std::vector<NamedFile> SelectPacketFiles(const std::vector<std::string>& entries);
// The same, without what is no regular file.
std::vector<NamedFile> SelectPacketFiles(std::vector<DirectoryEntry> entries);

// The indexes that have no packet file and are older than the newest packet file: what a deletion leaves that
// was interrupted between the two. (A younger index may be one whose packet file came after the listing.)
// REQUIRES: both sorted as SelectPacketFiles() returns them, and `packets` listed before `indexes`.
std::vector<NamedFile> FindOrphanIndexes(const std::vector<NamedFile>& packets,
                                         const std::vector<NamedFile>& indexes);

// False for an index that was written so lately that its packet file may be about to get its name: packets
// that are read from old captures have old names.
bool IsAbandonedIndex(const std::string& path);

}  // namespace steno
