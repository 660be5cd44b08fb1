// Whether a query has to end. Thread-safe.
#pragma once

#include "query/execute.h"

namespace steno {

// kCancelled or kDeadline as soon as it has to.
Status CheckStop(const QueryOptions& options);

}  // namespace steno
