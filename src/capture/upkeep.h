// stenotype --reindex and --verify: work on directories of packet files, without recording.
//
// Blocking. Prints a line per file that was worked on or has problems, and a total, to `out`.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/result.h"
#include "capture/capture_options.h"

namespace steno {

// The exit status: 0, or 1 if a file has problems (--verify) or could not be indexed (--reindex), or 2 if a
// directory or file could not be read.
int RunUpkeep(const UpkeepOptions& options, std::FILE* out);

}  // namespace steno
