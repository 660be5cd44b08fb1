// The page /debug/stats: one "name<TAB>integer" per line, sorted by name. Names are the incumbent's where it
// has the value.
#pragma once

#include <string>

#include "query/store.h"
#include "server/server_stats.h"
#include "server/supervisor.h"

namespace steno {

std::string StatsPage(const ServerStats& stats, const Store::Totals& totals, const CaptureState& capture);

}  // namespace steno
