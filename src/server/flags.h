// The command line of stenographer. Go's style (-config X, -config=X, -syslog=false, -v 1) and GNU's
// (--config=X) both work.
//
// Pure functions; no global state.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace steno {

struct ServerFlags {
  enum class Action { kRun, kHelp, kVersion, kCheckConfig, kExplainRetention };
  Action action = Action::kRun;
  std::string config_path = "/etc/stenographer/config";
  bool syslog = true;
  int verbosity = -1;  // 1 and more: debugging lines too
};

// `arguments` without the program's name. kInvalid names the wrong argument.
Result<ServerFlags> ParseServerFlags(const std::vector<std::string>& arguments);

// What -help prints.
std::string ServerUsage();

}  // namespace steno
