// FilePlan: one packet file opened for a query, and the pieces of it that must be read.
//
// Opening, evaluating the index and planning happen in one call, which may run on any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "query/expression.h"
#include "query/read_units.h"
#include "query/store.h"

namespace steno {

struct FilePlan {
  std::unique_ptr<PacketFile> file;  // null if there is nothing to read
  std::vector<ReadUnit> units;       // in the order of their times
  bool scanned = false;              // without an index
  bool ruled_out = false;            // not even opened
  PacketOrigin origin;
  std::vector<DropMark> drops;  // inside the time bounds
  std::vector<std::string> problems;
};

// What is the same for all files of a query. `expression` is borrowed.
struct PlanRequest {
  const Expression* expression;
  TimeRange bounds;
  bool time_only;
  bool will_read = true;  // the units: the kernel is told to fetch the first one of every file
};
PlanRequest MakePlanRequest(const Expression& expression);

// kNotFound: the file is gone. kCancelled. Other errors: nothing of the file can be read.
Result<FilePlan> PlanFile(const StoredFile& stored, const PlanRequest& request);

// Tells the kernel that a unit will be read soon.
void Announce(const PacketFile& file, const ReadUnit& unit);

}  // namespace steno
