// A query's plan as JSON, the answer of /query/explain: docs/API.md has its fields. Pure.
#pragma once

#include <string>

#include "query/explain.h"

namespace steno {

std::string ToJson(const QueryPlan& plan);

}  // namespace steno
