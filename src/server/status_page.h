// The page /status: how the server is, as JSON for people and user interfaces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/capture_rates.h"
#include "server/server_stats.h"
#include "server/supervisor.h"
#include "storage/retention.h"

namespace steno {

struct StatusInput {
  int64_t started_ns = 0;  // the server, wall clock
  std::vector<CaptureState> captures;
  std::vector<CaptureRate> rates;  // by slot
  std::vector<RetentionState> directories;
  std::vector<std::string> not_ready;
  std::vector<std::string> config_warnings;
};

std::string StatusPage(const StatusInput& input, const ServerStats& stats);

}  // namespace steno
