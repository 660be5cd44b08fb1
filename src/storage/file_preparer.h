// FilePreparer: keeps the next file of every capture directory ready, so that rotation costs the capture
// thread one pointer exchange, and allocation never happens on its path.
//
// Each slot has a background thread: a disk that hangs holds up nobody but its own files. TryTake() is for
// the capture thread of that slot: it neither blocks nor allocates. Failures (ENOSPC, a vanished directory, a
// read-only file system) are kept, logged when they begin and when they end (but not again within ten
// seconds), and retried every 100 ms for ever. A file that somebody removes while it waits is replaced within
// a second.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/output_file.h"

namespace steno {

struct PreparerSlotOptions {
  std::string directory;
  uint64_t file_bytes = 0;     // preallocation per file
  uint64_t minimum_bytes = 0;  // least that is still worth a file (one block)
};

class FilePreparer {
 public:
  explicit FilePreparer(std::vector<PreparerSlotOptions> slots);
  ~FilePreparer();  // stops the threads and discards the unused files
  FilePreparer(const FilePreparer&) = delete;
  FilePreparer& operator=(const FilePreparer&) = delete;

  // The slot's prepared file, or null when there is none yet. Wakes the thread to make the next one.
  std::unique_ptr<OutputFile> TryTake(size_t slot);

  // How often preparing failed on this slot since the start, and the errno of the latest failure (0: the
  // latest attempt succeeded). Readable from any thread.
  [[nodiscard]] uint64_t failures(size_t slot) const;
  [[nodiscard]] int last_errno(size_t slot) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
