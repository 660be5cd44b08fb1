// What a changed configuration can do to a server that runs. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "server/config.h"

namespace steno {

struct ConfigChanges {
  ServerConfig effective;                 // the old one with what can be taken over at once
  std::vector<std::string> taken;         // keys by their paths, that have changed
  std::vector<std::string> need_restart;  // the same, but without effect until the next start
};

// Taken over are certificates and TLS settings, roles, limits of queries (but for how many run at a time),
// and the limits of each thread's directories.
ConfigChanges CompareConfigs(const ServerConfig& old, const ServerConfig& fresh);

}  // namespace steno
