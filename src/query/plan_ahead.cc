#include "query/plan_ahead.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace steno {
namespace {

constexpr size_t kFilesPerWorker = 8;  // fewer are not worth a thread
constexpr size_t kMaxWorkers = 16;     // where small reads of an NVMe disk reach most of their rate
constexpr size_t kMaxAhead = 64;       // files: each may hold a descriptor
constexpr uint64_t kMaxWaitingUnits = 256 * 1024;  // 16 MiB
constexpr std::chrono::milliseconds kWaitPause(20);

}  // namespace

PlanAhead::PlanAhead(std::vector<const StoredFile*> files, const PlanRequest& request)
    : files_(std::move(files)),
      request_(request),
      is_stopped_(InterruptScope::Current()),
      plans_(files_.size()) {
  const size_t workers = std::min(kMaxWorkers, files_.size() / kFilesPerWorker);
  while (workers_.size() < workers) workers_.emplace_back([this] { Work(); });
}

PlanAhead::~PlanAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  workers_.clear();
}

Result<FilePlan> PlanAhead::Take(size_t at) {
  if (workers_.empty()) return PlanFile(*files_[at], request_);
  std::unique_lock lock(mutex_);
  wanted_ = at;
  changed_.notify_all();
  while (!changed_.wait_for(lock, kWaitPause, [&] { return plans_[at].has_value(); }))
    STENO_CHECK_OK(CheckInterrupt());
  Result<FilePlan> plan = std::move(*plans_[at]);
  plans_[at].reset();
  if (plan) waiting_units_ -= plan->units.size();
  wanted_ = at + 1;
  lock.unlock();
  changed_.notify_all();
  return plan;
}

// The file that is waited for may always start, so there is always progress.
bool PlanAhead::MayStart() const {
  if (next_ >= files_.size()) return false;
  return next_ <= wanted_ || (next_ < wanted_ + kMaxAhead && waiting_units_ < kMaxWaitingUnits);
}

void PlanAhead::Work() {
  const InterruptScope scope(is_stopped_);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || next_ >= files_.size() || MayStart(); });
    if (stopping_ || next_ >= files_.size()) return;
    const size_t at = next_++;
    lock.unlock();
    Result<FilePlan> plan = PlanFile(*files_[at], request_);
    lock.lock();
    if (plan) waiting_units_ += plan->units.size();
    plans_[at] = std::move(plan);
    changed_.notify_all();
  }
}

}  // namespace steno
