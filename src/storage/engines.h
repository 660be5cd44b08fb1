// The three implementations of IoEngine. Each fails when the kernel, or what confines the process, refuses
// it.
#pragma once

#include <memory>

#include "base/result.h"
#include "storage/io_engine.h"

namespace steno {

// The ring is bound to the thread of the first SubmitWrite(), which is then the only one that may submit and
// reap. It accepts writes to the files in its own table and nothing else, so it cannot be used to leave a
// sandbox.
Result<std::unique_ptr<IoEngine>> MakeUringEngine(unsigned queue_depth);

// Limits an io_uring that was made disabled (IORING_SETUP_R_DISABLED) to writes to registered files, and to
// exchanging those files and registered buffers; in force once it is enabled. Fails before Linux 5.10.
Status RestrictRing(int ring_fd);

// Linux native AIO by its system calls. Asynchronous with O_DIRECT only: a buffered write happens inside
// SubmitWrite().
Result<std::unique_ptr<IoEngine>> MakeLibaioEngine(unsigned queue_depth);

// A few threads that call pwrite().
Result<std::unique_ptr<IoEngine>> MakePwriteEngine(unsigned queue_depth);

}  // namespace steno
