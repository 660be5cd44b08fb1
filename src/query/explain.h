// The plan of a query: what the index answers, what the packets decide, and how much there is to read.
//
// Opens files and asks their indexes as the query itself would, and reads no packets. Blocking; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "query/execute.h"
#include "query/expression.h"
#include "query/store.h"

namespace steno {

struct QueryPlan {
  std::string query;  // text that is read back as the same expression
  TimeRange bounds;   // no packet outside can match
  // The terms, each once, as text. One that the index answers in part (a host, but not whether it was the
  // source) is in both lists.
  std::vector<std::string> from_index;
  std::vector<std::string> from_packets;
  struct Files {
    uint64_t total = 0;
    uint64_t outside_time = 0;     // of `total`: not looked at
    uint64_t ruled_out = 0;        // not opened: the index' filter knows that no address of theirs matches
    uint64_t nothing_to_read = 0;  // opened: no flow, or no time of a block, matches
    uint64_t gone = 0;             // deleted meanwhile, or unreadable (see `problems`)
    uint64_t to_read = 0;
    uint64_t without_index = 0;  // of `to_read`: all blocks inside the time bounds are read
  } files;
  uint64_t blocks = 0;  // of which something is read
  uint64_t reads = 0;
  uint64_t bytes = 0;
  std::vector<std::string> problems;
};

// Errors: kCancelled, kDeadline, as `options` say.
Result<QueryPlan> ExplainQuery(const Expression& expression, const StoreSnapshot& snapshot,
                               const QueryOptions& options);

// For people, several lines.
std::string ToText(const QueryPlan& plan);

}  // namespace steno
