// The page /metrics: everything that is counted, in Prometheus' text format.
//
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. Names follow
// https://prometheus.io/docs/practices/naming/: steno_ in front, base units, _total behind what only grows.
// The values of stenotype start again when it does, which readers of such counters expect.
#pragma once

#include <string>
#include <vector>

#include "query/store.h"
#include "server/server_stats.h"
#include "server/supervisor.h"

namespace steno {

// `captures` has one entry per interface. Threads are numbered over all of them.
std::string MetricsPage(const ServerStats& stats, const Store::Totals& totals,
                        const std::vector<CaptureState>& captures);

}  // namespace steno
