// What `stenographer --explain_retention` prints. Reads directories, changes nothing, and needs no server
// that runs. Thread-safe: no state.
#pragma once

#include <string>

#include "server/config.h"
#include "storage/retention.h"

namespace steno {

// Per pair of directories: limits, what is there, and the files that would be deleted now and why.
std::string ExplainRetention(const ServerConfig& config);

// The key of the configuration that a cause comes from.
const char* LimitName(RetentionCause cause);

}  // namespace steno
