// A summary as JSON: docs/API.md has its fields. Pure.
#pragma once

#include <string>

#include "query/traffic_summary.h"

namespace steno {

std::string ToJson(const TrafficSummary& summary);

}  // namespace steno
