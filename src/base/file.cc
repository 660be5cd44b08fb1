#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace steno {

Result<UniqueFd> OpenFile(const std::string& path, int flags, unsigned mode) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return Fail(Error::System("open " + path));
  }
}

Result<size_t> ReadSome(int fd, std::span<uint8_t> bytes, uint64_t offset, const std::string& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(Error::System("read " + path));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status ReadFully(int fd, std::span<uint8_t> bytes, uint64_t offset, const std::string& path) {
  STENO_TRY(const size_t got, ReadSome(fd, bytes, offset, path));
  if (got == bytes.size()) return {};
  return Fail(Error::Corrupt(path + ": ends at byte " + std::to_string(offset + got) + ", expected " +
                             std::to_string(bytes.size()) + " bytes from byte " + std::to_string(offset)));
}

Status WriteFully(int fd, std::span<const uint8_t> bytes, uint64_t offset, const std::string& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Fail(Error::System("write " + path));
    done += static_cast<size_t>(put);
  }
  return {};
}

Result<uint64_t> FileSize(int fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return Fail(Error::System("stat " + path));
  return static_cast<uint64_t>(info.st_size);
}

// Files of /proc and /sys have no size: of these so much is read at most.
constexpr uint64_t kUnsizedBytes = 4096;

Result<std::string> ReadTextFile(const std::string& path, uint64_t limit) {
  STENO_TRY(const UniqueFd fd, OpenFile(path, O_RDONLY));
  STENO_TRY(const uint64_t size, FileSize(fd.get(), path));
  if (size > limit) {
    return Fail(Error::Exhausted(path + ": " + std::to_string(size) + " bytes, at most " +
                                 std::to_string(limit) + " are allowed"));
  }
  std::string text(size > 0 ? size : std::min(limit, kUnsizedBytes), '\0');
  STENO_TRY(const size_t got,
            ReadSome(fd.get(), {reinterpret_cast<uint8_t*>(text.data()), text.size()}, 0, path));
  text.resize(got);
  return text;
}

Status SyncData(int fd, const std::string& path) {
  if (::fdatasync(fd) != 0) return Fail(Error::System("fdatasync " + path));
  return {};
}

Status SyncDirectory(const std::string& directory) {
  STENO_TRY(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return Fail(Error::System("fsync " + directory));
  return {};
}

Status RenameFile(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return Fail(Error::System("rename " + from + " to " + to));
  return {};
}

Result<std::vector<DirectoryEntry>> ListEntries(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return Fail(Error::System("open directory " + directory));
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    entries.push_back({entry->d_name, entry->d_ino, entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN});
  }
  if (errno != 0) return Fail(Error::System("read directory " + directory));
  return entries;
}

Result<std::vector<std::string>> ListDirectory(const std::string& directory) {
  STENO_TRY(std::vector<DirectoryEntry> entries, ListEntries(directory));
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (DirectoryEntry& entry : entries) names.push_back(std::move(entry.name));
  return names;
}

}  // namespace steno
