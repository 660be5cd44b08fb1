// PlanAhead: plans of many files, made a little ahead of their use by helper threads.
//
// A query for a rare host over 10,000 files is 10,000 times a few small reads that find nothing; one after
// another they would wait for the disk every time. Plans are taken in the order of the files by one thread,
// whose InterruptScope holds for the helpers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/interrupt.h"
#include "query/file_plan.h"

namespace steno {

class PlanAhead {
 public:
  // `files`, and what `request` points to, must outlive this.
  PlanAhead(std::vector<const StoredFile*> files, const PlanRequest& request);
  ~PlanAhead();  // waits for the plans in the making
  PlanAhead(const PlanAhead&) = delete;
  PlanAhead& operator=(const PlanAhead&) = delete;

  // The plan of files[at], once; kCancelled if that is not wanted any more. REQUIRES: ascending order of
  // `at`.
  Result<FilePlan> Take(size_t at);

 private:
  void Work();
  [[nodiscard]] bool MayStart() const;

  const std::vector<const StoredFile*> files_;
  const PlanRequest request_;
  const IsStopped is_stopped_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<Result<FilePlan>>> plans_;  // all below: under mutex_
  size_t wanted_ = 0;                                   // the file that is taken next
  size_t next_ = 0;                                     // the file that nobody has begun to plan
  uint64_t waiting_units_ = 0;                          // in plans that are not taken yet
  bool stopping_ = false;
  std::vector<std::jthread> workers_;
};

}  // namespace steno
