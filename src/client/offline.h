// Queries on directories, without a server: evidence that is mounted read-only, or the disks of a sensor that
// is switched off. Nothing is written there.
//
// Blocking. What files hold is untrusted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/capture_output.h"
#include "client/connection.h"
#include "query/store.h"

namespace steno {

// The packet directories at a path, each with its indexes: PKT0 and IDX0, PKT1 and IDX1, ... or "packets" and
// "index" below it; or the path itself, whose indexes are beside it under the other name. A directory without
// indexes has an empty index_directory. kInvalid: there are no packet files.
Result<std::vector<StoreDirectory>> FindStoreDirectories(const std::string& path);

// Asks directories what `request` would ask a server. Errors: a wrong query; directories without packets.
// Unreadable files make the outcome kIncomplete.
Result<QueryOutcome> QueryDirectories(const std::vector<std::string>& paths, const QueryRequest& request,
                                      PacketOutput& output);

// The plan as text.
Result<std::string> ExplainDirectories(const std::vector<std::string>& paths, const std::string& query);

}  // namespace steno
