// Packet files while they are written: created hidden ahead of need, published under their name when
// complete.
//
// Life: PrepareFile -> blocks are written by an IoEngine -> PublishFile (or DiscardFile when nothing was
// written). A hidden file is locked (flock) by its writer for as long as it lives, so that recovery can tell
// a file in use from one that a crash left behind. Thread-safe as long as one OutputFile is used by one
// thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

struct OutputFile {
  UniqueFd fd;  // O_DIRECT if `direct`; flock(LOCK_EX) held
  std::string directory;
  std::string hidden_name;       // ".<µs of creation>", unique in the directory
  uint64_t allocated_bytes = 0;  // fallocate()d: writes below never extend the file
  uint64_t file_tag = 0;         // random, for the block headers
  bool direct = false;           // false where the file system refuses O_DIRECT
  bool counts_links = true;      // false where the file system does not tell names from none
};

// Somebody has removed the file since it was made: what is written to it is lost.
bool WasRemoved(const OutputFile& file);

// Creates, locks and preallocates (mode 0) a hidden file of `bytes`. If the disk has less, allocates what is
// there down to `minimum_bytes`; below that ENOSPC (kIo). Falls back to buffered writes where O_DIRECT is
// refused (EINVAL).
Result<OutputFile> PrepareFile(const std::string& directory, uint64_t bytes, uint64_t minimum_bytes);

// Gives the unused tail back, makes the data durable (fdatasync), renames to "<file_id>" and syncs the
// directory. If that name is taken the next free microsecond is used. Returns the final name. Not for the
// capture thread.
Result<std::string> PublishFile(OutputFile file, uint64_t file_id, uint64_t used_bytes);

// Removes a file that holds nothing.
Status DiscardFile(OutputFile file);

// The hidden names under which a file being written or sealed can be found are ".<digits>"; final names
// "<digits>".
bool IsPacketFileName(const std::string& name);
bool IsHiddenPacketFileName(const std::string& name);

}  // namespace steno
