// What is done with a configuration file apart from starting a server with it.
#pragma once

#include <string>

#include "server/server.h"

namespace steno {

// -check_config: prints what is wrong with it. Returns the exit status: 0 if the server would run with it.
int CheckConfigFile(const std::string& path);

// -explain_retention: prints what retention would do now. Returns the exit status.
int ExplainRetentionOf(const std::string& path);

// SIGHUP: the server takes over what it can; the log says what. A wrong file changes nothing.
void ReloadFromFile(Server& server, const std::string& path);

}  // namespace steno
