// --explain: asks a server for the plan of a query, and words it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/connection.h"
#include "query/explain.h"

namespace steno {

// The plan as lines for people. Blocking. Errors: as FetchQuery(), what the server refused, and answers that
// are no plan.
Result<std::string> FetchExplanation(const std::vector<Endpoint>& endpoints, const std::string& cert_path,
                                     QueryRequest request);

// The JSON of /query/explain; kInvalid where it is none. Fields that are unknown here are ignored.
Result<QueryPlan> ReadPlan(std::string_view json);

}  // namespace steno
