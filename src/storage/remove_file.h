// Removing files of gigabytes without holding up those who write to the same disk.
//
// Freeing such a file at once keeps the file system's journal, and with online discard the device, busy for
// up to a second: writers then wait for tens of milliseconds. So the name goes first. If after that nobody
// has the file open, which a lease proves (fcntl(2), F_SETLEASE), it is cut down in steps with pauses;
// otherwise it stays whole for whoever reads it, and the caller gets a descriptor to try again with.
// Nothing is left behind by a crash in between: a file without a name ends with its last descriptor.
//
// A reader that found the name just before it went and opens the file just after may see it cut. It can tell:
// the file has no name any more (LostItsName()). Thread-safe: no state.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

inline constexpr uint64_t kRemovalStepBytes = uint64_t{64} << 20;

struct RemovedFile {
  uint64_t bytes = 0;     // it took on disk
  bool last_name = true;  // false: another name keeps the space
  // Valid if somebody has the file open (and this is known): its space is not free before FreeUnread()
  // returns true.
  UniqueFd held;
};

// Removes a regular file; `pause` is called after each step. kInvalid if something else has that name; kIo
// with the errno of unlink(2). No failure after that is one: what could not be done in steps is done at once.
Result<RemovedFile> RemoveFile(const std::string& path, const std::function<void()>& pause);

// Frees a file without a name in steps unless somebody else has it open.
bool FreeUnread(int fd, const std::function<void()>& pause);

// Frees it even so: its readers find it empty.
Status CutOff(int fd, const std::string& path, const std::function<void()>& pause);

// The open file was reached by `path`, which is gone now.
bool LostItsName(int fd, const std::string& path);

}  // namespace steno
