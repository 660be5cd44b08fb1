// What a client is told about its result once it is there: names and values, for trailers of any protocol.
// A pure function.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/query_service.h"

namespace steno {

using FieldList = std::vector<std::pair<std::string, std::string>>;

// All values are printable. Steno-Reason is there only if the result is not complete.
FieldList SummaryFields(const QuerySummary& summary);

// The names, for a header that announces them.
inline constexpr const char* kSummaryFieldNames =
    "Steno-Packets, Steno-Bytes, Steno-Problems, Steno-Drops, Steno-Complete, Steno-Reason";

}  // namespace steno
