#include "storage/free_space.h"

#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

namespace steno {
namespace {

constexpr double kDangerPercent = 1;

double Percent(uint64_t part, uint64_t total) {
  return total == 0 ? 100 : 100 * static_cast<double>(part) / static_cast<double>(total);
}

}  // namespace

Result<SpaceMeasure> MeasureSpace(const std::string& directory) {
  struct statfs info{};
  while (::statfs(directory.c_str(), &info) != 0) {
    if (errno != EINTR) return Fail(Error::System("statfs " + directory));
  }
  const auto unit = static_cast<uint64_t>(info.f_frsize != 0 ? info.f_frsize : info.f_bsize);
  return SpaceMeasure{uint64_t{info.f_blocks} * unit, uint64_t{info.f_bavail} * unit};
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
  while (!credits_.empty() && credits_.front().expires_ns <= now_ns) credits_.pop_front();
}

void FreeSpace::Deleted(uint64_t bytes, int64_t now_ns) { credits_.push_back({bytes, now_ns + kCreditNs}); }

double FreeSpace::free_percent() const {
  const double measured = Percent(latest_.free_bytes, latest_.total_bytes);
  if (measured < kDangerPercent) return measured;
  uint64_t credited = 0;
  for (const Credit& credit : credits_) credited += credit.bytes;
  return Percent(std::min(latest_.free_bytes + credited, latest_.total_bytes), latest_.total_bytes);
}

}  // namespace steno
