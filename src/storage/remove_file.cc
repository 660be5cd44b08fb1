#include "storage/remove_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/unique_fd.h"

namespace steno {
namespace {

enum class Holder : uint8_t { kNobody, kSomebody, kUnknown };

// Who has the file besides this descriptor. Of one without a name nobody can get it later, as long as the
// lease holds.
Holder FindHolder(int fd) {
  // Who opens the file under a lease makes the kernel send a signal to its holder, by default one that kills.
  // SIGURG is ignored by default.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0) return Holder::kUnknown;
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) == 0) return Holder::kNobody;
  return errno == EAGAIN ? Holder::kSomebody : Holder::kUnknown;
}

// Truncates the file to nothing, in steps, as long as `go_on`. The last step, too: what the file system frees
// at the end of a file it may free later (XFS), and nobody could tell how much is free until then.
void CutDown(int fd, uint64_t bytes, const std::function<bool()>& go_on, const std::function<void()>& pause) {
  while (bytes > kRemovalStepBytes) {
    bytes -= kRemovalStepBytes;
    if (!go_on() || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return;
    pause();
  }
  if (!go_on() || ::ftruncate(fd, 0) != 0) return;  // then it is freed with the last descriptor
}

// Not F_WRLCK any more: somebody was about to open the file, and waits for the lease to end.
bool HasLease(int fd) { return ::fcntl(fd, F_GETLEASE) == F_WRLCK; }

uint64_t SizeOf(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

// For leases and cutting; one that may not be written gets a lease at least.
UniqueFd OpenToRemove(const std::string& path) {
  constexpr int kFlags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  UniqueFd fd(::open(path.c_str(), O_WRONLY | kFlags));
  if (!fd.valid()) fd.reset(::open(path.c_str(), O_RDONLY | kFlags));
  return fd;
}

}  // namespace

Result<RemovedFile> RemoveFile(const std::string& path, const std::function<void()>& pause) {
  struct stat named{};
  if (::lstat(path.c_str(), &named) != 0) return Fail(Error::System("remove " + path));
  if (!S_ISREG(named.st_mode)) return Fail(Error::Invalid("remove " + path + ": not a regular file"));
  UniqueFd fd = OpenToRemove(path);
  if (::unlink(path.c_str()) != 0) return Fail(Error::System("remove " + path));
  RemovedFile removed;
  removed.bytes = static_cast<uint64_t>(named.st_blocks) * 512;  // stat(2): in units of 512 bytes
  removed.last_name = named.st_nlink == 1;
  struct stat info{};
  const bool ours = fd.valid() && ::fstat(fd.get(), &info) == 0 && info.st_nlink == 0 &&
                    info.st_ino == named.st_ino && info.st_dev == named.st_dev;
  if (ours && !FreeUnread(fd.get(), pause)) removed.held = std::move(fd);
  return removed;
}

bool FreeUnread(int fd, const std::function<void()>& pause) {
  const Holder holder = FindHolder(fd);
  if (holder == Holder::kNobody) CutDown(fd, SizeOf(fd), [fd] { return HasLease(fd); }, pause);
  return holder != Holder::kSomebody;
}

Status CutOff(int fd, const std::string& path, const std::function<void()>& pause) {
  CutDown(fd, SizeOf(fd), [] { return true; }, pause);
  if (::ftruncate(fd, 0) != 0) return Fail(Error::System("cut " + path));
  return {};
}

bool LostItsName(int fd, const std::string& path) {
  // Some file systems count no links: there the name decides.
  struct stat info{};
  return ::fstat(fd, &info) == 0 && info.st_nlink == 0 && ::access(path.c_str(), F_OK) != 0;
}

}  // namespace steno
