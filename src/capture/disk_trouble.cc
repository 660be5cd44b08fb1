#include "capture/disk_trouble.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "capture/counter.h"

namespace steno {
namespace {

constexpr int64_t kFirstRetryNs = 100 * kNsPerMs;
constexpr int64_t kLongestRetryNs = kNsPerSecond;

const char* Text(int error) { return error == kDiskStalled ? "it does not complete" : std::strerror(error); }

}  // namespace

DiskTrouble::DiskTrouble(unsigned thread, std::string directory, CaptureCounters& counters)
    : thread_(thread), directory_(std::move(directory)), counters_(counters) {}

uint64_t DiskTrouble::Lost() const {
  return ValueOf(counters_.ring_drops) + ValueOf(counters_.write_error_drops) +
         ValueOf(counters_.removed_packets);
}

void DiskTrouble::Failed(int error, std::string_view what, int64_t since_ns, int64_t now_ns) {
  failed_ns_ = now_ns;
  SetTo(counters_.disk_errno, static_cast<uint64_t>(error));
  if (lasting()) return;
  since_ns_ = since_ns;
  stored_ns_ = 0;
  lost_before_ = Lost();
  AddTo(counters_.disk_troubles);
  SetTo(counters_.disk_trouble_drops, 0);
  SetTo(counters_.disk_trouble_since_ns, static_cast<uint64_t>(WallNs() - (now_ns - since_ns)));
  STENO_ERROR(
      "thread {}: disk trouble in {}: {}: {}; packets wait in the ring and are lost once it is full; trying "
      "again until it works",
      thread_, directory_, what, Text(error));
}

void DiskTrouble::WriteFailed(int error, std::string_view what, int64_t now_ns) {
  Failed(error, what, now_ns, now_ns);
  // Writes that were under way together fail together: that is one try.
  if (now_ns < retry_ns_) return;
  retry_pause_ns_ = std::clamp(2 * retry_pause_ns_, kFirstRetryNs, kLongestRetryNs);
  retry_ns_ = now_ns + retry_pause_ns_;
}

void DiskTrouble::Stored(int64_t now_ns) {
  if (!lasting()) return;
  stored_ns_ = now_ns;
  retry_pause_ns_ = 0;
}

void DiskTrouble::EverySecond(int64_t now_ns) {
  if (!lasting()) return;
  const uint64_t lost = Lost() - lost_before_;
  SetTo(counters_.disk_trouble_drops, lost);
  if (stored_ns_ <= failed_ns_ || now_ns - failed_ns_ < kDiskCalmNs) return;
  STENO_WARN("thread {}: the disk of {} is back after {:.1f} s; {} packets were lost", thread_, directory_,
             static_cast<double>(stored_ns_ - since_ns_) / static_cast<double>(kNsPerSecond), lost);
  since_ns_ = 0;
  SetTo(counters_.disk_errno, 0);
  SetTo(counters_.disk_trouble_since_ns, 0);
}

}  // namespace steno
