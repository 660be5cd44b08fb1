// What stenoread does once its command line is understood: asks, and says how that ended. Blocking.
#pragma once

#include "client/exit_status.h"
#include "client/stenoread_options.h"

namespace steno {

// REQUIRES: the action is kQuery or kExplain. Writes to standard output and error.
Conclusion RunStenoread(const StenoreadOptions& options);

}  // namespace steno
