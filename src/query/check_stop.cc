#include "query/check_stop.h"

#include "base/clock.h"

namespace steno {

Status CheckStop(const QueryOptions& options) {
  if (options.stop.stop_requested()) {
    return Fail({.code = ErrorCode::kCancelled, .message = "the query was cancelled"});
  }
  if (options.deadline_ns != INT64_MAX && MonotonicNs() >= options.deadline_ns) {
    return Fail({.code = ErrorCode::kDeadline, .message = "the query took longer than it may"});
  }
  return {};
}

}  // namespace steno
