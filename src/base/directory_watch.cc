#include "base/directory_watch.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include "base/clock.h"

namespace steno {
namespace {

// File systems take times from a clock that ticks every few milliseconds (CONFIG_HZ, at worst 10 ms).
constexpr int64_t kRacyNs = 50 * kNsPerMs;

int64_t ToNs(const timespec& time) { return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }

}  // namespace

Result<bool> DirectoryWatch::NeedsReading() {
  const int64_t now = WallNs();
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0) {
    Forget();
    return Fail(Error::System("stat " + path_));
  }
  const Stamp stamp{info.st_dev, info.st_ino, ToNs(info.st_mtim), ToNs(info.st_ctim)};
  if (known_ && !racy_ && stamp == stamp_) return false;
  stamp_ = stamp;
  known_ = true;
  racy_ = now - std::max(stamp.modified_ns, stamp.changed_ns) < kRacyNs;
  return true;
}

}  // namespace steno
