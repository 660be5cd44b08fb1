#include "storage/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "storage/block_format.h"

namespace steno {
namespace {

constexpr unsigned kFileMode = 0640;
constexpr int kMaxNameTries = 10'000;

std::string PathOf(const OutputFile& file) { return file.directory + "/" + file.hidden_name; }

// True if `path` still names the open file: a recovery that met it before it was locked may have removed it.
bool IsSameFile(int fd, const std::string& path) {
  struct stat open_file{};
  struct stat named{};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

// Creates and locks a new hidden file in file.directory.
Status CreateLocked(OutputFile& file) {
  int64_t microseconds = WallNs() / kNsPerUs;
  for (int tries = 0; tries < kMaxNameTries; ++tries, ++microseconds) {
    file.hidden_name = fmt::format(".{}", microseconds);
    auto fd = OpenFile(PathOf(file), O_RDWR | O_CREAT | O_EXCL, kFileMode);
    if (!fd && fd.error().sys_errno == EEXIST) continue;
    if (!fd) return Fail(std::move(fd).error());
    file.fd = std::move(*fd);
    if (::flock(file.fd.get(), LOCK_EX | LOCK_NB) == 0) {
      if (IsSameFile(file.fd.get(), PathOf(file))) return {};
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      Error error = Error::System("lock " + PathOf(file));
      ::unlink(PathOf(file).c_str());
      return Fail(std::move(error));
    }
    // A recovery holds or has removed it. The next name is as good.
  }
  return Fail(
      Error::Exhausted(fmt::format("{}: no free hidden name in {} tries", file.directory, kMaxNameTries)));
}

// Switches to direct I/O if the file system does it at our alignment. (Opening with O_DIRECT and O_CREAT
// would leave the file behind where it is refused.)
bool EnableDirect(int fd) {
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 && (info.stx_mask & STATX_DIOALIGN) != 0) {
    const bool refused = info.stx_dio_offset_align == 0;
    if (refused || info.stx_dio_offset_align > kDiskAlignment || info.stx_dio_mem_align > kDiskAlignment)
      return false;
  }
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
}

// Preallocates `bytes`, or as much of it as the disk has, but at least `minimum`. Mode 0, so that the file
// has its final size at once: writes that extend a file cost worker threads in io_uring and block in libaio.
Result<uint64_t> Allocate(int fd, uint64_t bytes, uint64_t minimum, const std::string& path) {
  for (uint64_t want = bytes;;) {
    if (::fallocate(fd, 0, 0, static_cast<off_t>(want)) == 0) return want;
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EOPNOTSUPP || error == ENOSYS) {
      if (::ftruncate(fd, static_cast<off_t>(want)) != 0) return Fail(Error::System("resize " + path));
      return want;
    }
    // EFBIG: RLIMIT_FSIZE or the file system's largest file.
    const bool too_much = error == ENOSPC || error == EDQUOT || error == EFBIG;
    if (!too_much || want <= minimum) {
      return Fail(Error::System(fmt::format("allocate {} bytes for {}", want, path), error));
    }
    if (::ftruncate(fd, 0) != 0) return Fail(Error::System("resize " + path));  // what a failed try has taken
    want = std::max(want / 2 / kDiskAlignment * kDiskAlignment, minimum);
  }
}

// rename(2) that never replaces: EEXIST if `to` exists.
int RenameNoReplace(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // This file system cannot: a hard link does not replace either.
  if (::link(from.c_str(), to.c_str()) == 0) return ::unlink(from.c_str()) == 0 ? 0 : errno;
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  // No links either (vfat). This directory has one writer, so looking first is good enough.
  if (::access(to.c_str(), F_OK) == 0) return EEXIST;
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

bool WasRemoved(const OutputFile& file) {
  struct stat info{};
  return file.counts_links && ::fstat(file.fd.get(), &info) == 0 && info.st_nlink == 0;
}

Result<OutputFile> PrepareFile(const std::string& directory, uint64_t bytes, uint64_t minimum_bytes) {
  const uint64_t minimum = AlignUp(std::max<uint64_t>(minimum_bytes, 1), kDiskAlignment);
  const uint64_t wanted = std::max(AlignUp(bytes, kDiskAlignment), minimum);
  OutputFile file;
  file.directory = directory;
  if (::getrandom(&file.file_tag, sizeof file.file_tag, 0) != sizeof file.file_tag) {
    return Fail(Error::System("getrandom"));
  }
  STENO_CHECK_OK(CreateLocked(file));
  struct stat info{};
  file.counts_links = ::fstat(file.fd.get(), &info) == 0 && info.st_nlink > 0;
  const auto allocated = Allocate(file.fd.get(), wanted, minimum, PathOf(file));
  if (!allocated) {
    ::unlink(PathOf(file).c_str());
    return Fail(allocated.error());
  }
  file.allocated_bytes = *allocated;
  file.direct = EnableDirect(file.fd.get());
  return file;
}

Result<std::string> PublishFile(OutputFile file, uint64_t file_id, uint64_t used_bytes) {
  const std::string hidden = PathOf(file);
  // Neither failure keeps packets from their readers, who check what they read. They are worth a warning.
  if (::ftruncate(file.fd.get(), static_cast<off_t>(used_bytes)) != 0) {
    STENO_WARN("{}", Error::System(fmt::format("cut {} to {} bytes", hidden, used_bytes)).message);
  }
  if (const Status synced = SyncData(file.fd.get(), hidden); !synced)
    STENO_WARN("{}", synced.error().message);

  for (int tries = 0; tries < kMaxNameTries; ++tries, ++file_id) {
    std::string name = std::to_string(file_id);
    const std::string path = file.directory + "/" + name;
    const int error = RenameNoReplace(hidden, path);
    if (error == EEXIST) continue;
    if (error != 0) return Fail(Error::System("rename " + hidden + " to " + path, error));
    if (const Status synced = SyncDirectory(file.directory); !synced)
      STENO_WARN("{}", synced.error().message);
    return name;
  }
  return Fail(Error::Exhausted(
      fmt::format("publish {}: {} names up to {} are taken", hidden, kMaxNameTries, file_id)));
}

Status DiscardFile(OutputFile file) {
  const std::string path = PathOf(file);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Fail(Error::System("remove " + path));
  return {};
}

}  // namespace steno
