// The page /debug/stats: one "name<TAB>integer" per line, sorted by name. Names are the incumbent's where it
// has the value.
#pragma once

#include <string>
#include <vector>

#include "query/store.h"
#include "server/server_stats.h"
#include "server/supervisor.h"

namespace steno {

// `captures` has one entry per interface. A thread's number in names counts over all of them; where there are
// several, interface_NAME_first_thread tells which are whose.
std::string StatsPage(const ServerStats& stats, const Store::Totals& totals,
                      const std::vector<CaptureState>& captures);

}  // namespace steno
