#include "storage/remove_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/unique_fd.h"

namespace steno {
namespace {

// Nobody but this descriptor has the file, and nobody can get it: it has no name, and the lease holds.
bool IsOurs(int fd, const struct stat& named) {
  // Who opens the file under a lease makes the kernel send a signal to its holder, by default one that kills.
  // SIGURG is ignored by default.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0 || ::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return false;
  struct stat info{};
  return ::fstat(fd, &info) == 0 && info.st_nlink == 0 && info.st_ino == named.st_ino &&
         info.st_dev == named.st_dev;
}

void CutDown(int fd, uint64_t bytes, const std::function<void()>& pause) {
  while (bytes > kRemovalStepBytes) {
    bytes -= kRemovalStepBytes;
    // Not F_WRLCK any more: somebody was about to open it, and waits for the lease to end.
    if (::fcntl(fd, F_GETLEASE) != F_WRLCK || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return;
    pause();
  }
}

}  // namespace

Result<RemovedFile> RemoveFile(const std::string& path, const std::function<void()>& pause) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return Fail(Error::System("remove " + path));
  if (!S_ISREG(info.st_mode)) return Fail(Error::Invalid("remove " + path + ": not a regular file"));
  UniqueFd fd;
  const auto bytes = static_cast<uint64_t>(info.st_size);
  if (bytes > kRemovalStepBytes) {
    fd.reset(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  }
  if (::unlink(path.c_str()) != 0) return Fail(Error::System("remove " + path));
  if (fd.valid() && IsOurs(fd.get(), info)) CutDown(fd.get(), bytes, pause);
  return RemovedFile{static_cast<uint64_t>(info.st_blocks) * 512,  // stat(2): in units of 512 bytes
                     info.st_nlink == 1};
}

bool LostItsName(int fd, const std::string& path) {
  // Some file systems count no links: there the name decides.
  struct stat info{};
  return ::fstat(fd, &info) == 0 && info.st_nlink == 0 && ::access(path.c_str(), F_OK) != 0;
}

}  // namespace steno
