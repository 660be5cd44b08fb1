// What is wrong with a configuration on this machine, beyond what its text shows: programs, certificates,
// directories, groups, interfaces. Looks only; makes nothing and starts nothing.
#pragma once

#include <string>
#include <vector>

#include "server/config.h"

namespace steno {

struct ConfigFindings {
  std::vector<std::string> errors;    // the server would not start, or not record
  std::vector<std::string> warnings;  // it would, but look
};

// One line each, beginning with the key's path.
ConfigFindings CheckConfig(const ServerConfig& config);

}  // namespace steno
