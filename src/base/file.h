// Small, complete file operations: every call retries EINTR, finishes short transfers, and names the path on
// failure. Thread-safe (no shared state).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

// open(2) with O_CLOEXEC added.
Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode = 0640);

// Reads exactly bytes.size() bytes at `offset`; a file that ends before is kCorrupt.
Status ReadFully(int fd, std::span<uint8_t> bytes, uint64_t offset, const std::string& path);
// Reads up to bytes.size() bytes at `offset` and returns how many there were.
Result<size_t> ReadSome(int fd, std::span<uint8_t> bytes, uint64_t offset, const std::string& path);
// Writes all of `bytes` at `offset`.
Status WriteFully(int fd, std::span<const uint8_t> bytes, uint64_t offset, const std::string& path);

Result<uint64_t> FileSize(int fd, const std::string& path);
// The whole file; kExhausted if it is larger than `limit` bytes.
Result<std::string> ReadTextFile(const std::string& path, uint64_t limit);
Status SyncData(int fd, const std::string& path);
Status SyncDirectory(const std::string& directory);
Status RenameFile(const std::string& from, const std::string& to);

struct DirectoryEntry {
  std::string name;
  uint64_t inode = 0;
  bool regular = true;  // false: it is certainly no regular file
};
// What is in a directory, without "." and "..", in no order.
Result<std::vector<DirectoryEntry>> ListEntries(const std::string& directory);
// Of these, the names.
Result<std::vector<std::string>> ListDirectory(const std::string& directory);

}  // namespace steno
