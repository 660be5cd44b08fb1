#include "storage/free_space.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace steno {
namespace {

double Percent(uint64_t part, uint64_t total) {
  return total == 0 ? 100 : 100 * static_cast<double>(part) / static_cast<double>(total);
}

Result<SpaceMeasure> Statfs(const std::string& directory) {
  struct statfs info{};
  while (::statfs(directory.c_str(), &info) != 0) {
    if (errno != EINTR) return Fail(Error::System("statfs " + directory));
  }
  const auto unit = static_cast<uint64_t>(info.f_frsize != 0 ? info.f_frsize : info.f_bsize);
  return SpaceMeasure{uint64_t{info.f_blocks} * unit, uint64_t{info.f_bavail} * unit};
}

// The highest directory above on the same file system.
std::string TopOf(std::string directory) {
  struct stat info{};
  if (::stat(directory.c_str(), &info) != 0) return directory;
  const dev_t device = info.st_dev;
  for (;;) {
    std::string above = directory + "/..";
    const ino_t inode = info.st_ino;
    if (::stat(above.c_str(), &info) != 0 || info.st_dev != device || info.st_ino == inode) return directory;
    directory = std::move(above);
  }
}

struct Located {
  dev_t device = 0;
  uint32_t project = 0;  // that new files belong to
};

Result<Located> Locate(const std::string& directory) {
  STENO_TRY(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return Fail(Error::System("stat " + directory));
  Located located{info.st_dev, 0};
  // File systems without projects refuse it.
  struct fsxattr attributes{};
  if (::ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) == 0 &&
      (attributes.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0) {
    located.project = attributes.fsx_projid;
  }
  return located;
}

}  // namespace

SpaceMeasure WithinQuota(const SpaceMeasure& own, const SpaceMeasure& whole) {
  SpaceMeasure measure = own;
  measure.quota = own.total_bytes != whole.total_bytes;
  measure.free_bytes = std::min(own.free_bytes, whole.free_bytes);
  return measure;
}

Result<SpacePool> PoolOf(const std::string& directory) {
  STENO_TRY(const Located located, Locate(directory));
  SpacePool pool{located.device, located.project};
  if (pool.project == 0) return pool;
  STENO_TRY(const SpaceMeasure measure, MeasureSpace(directory));
  if (!measure.quota) pool.project = 0;
  return pool;
}

Result<SpaceMeasure> MeasureSpace(const std::string& directory) {
  STENO_TRY(const SpaceMeasure own, Statfs(directory));
  const auto located = Locate(directory);
  if (!located || located->project == 0) return own;
  STENO_TRY(const SpaceMeasure whole, Statfs(TopOf(directory)));
  return WithinQuota(own, whole);
}

void FreeSpace::Measured(const SpaceMeasure& measure, int64_t now_ns) {
  uint64_t growth = measure.free_bytes > latest_.free_bytes ? measure.free_bytes - latest_.free_bytes : 0;
  latest_ = measure;
  while (growth > 0 && !credits_.empty()) {
    const uint64_t settled = std::min(growth, credits_.front().bytes);
    growth -= settled;
    credits_.front().bytes -= settled;
    if (credits_.front().bytes == 0) credits_.pop_front();
  }
  const int64_t life = scarce() ? kShortCreditNs : kCreditNs;
  while (!credits_.empty() && now_ns - credits_.front().since_ns >= life) credits_.pop_front();
}

void FreeSpace::Deleted(uint64_t bytes, int64_t now_ns) { credits_.push_back({bytes, now_ns}); }

bool FreeSpace::scarce() const { return Percent(latest_.free_bytes, latest_.total_bytes) < scarce_percent_; }

double FreeSpace::free_percent() const {
  uint64_t credited = held_bytes_;
  for (const Credit& credit : credits_) credited += credit.bytes;
  return Percent(std::min(latest_.free_bytes + credited, latest_.total_bytes), latest_.total_bytes);
}

}  // namespace steno
