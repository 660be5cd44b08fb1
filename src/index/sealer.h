// Sealing: a segment in memory -> an index file on disk (format: index/sealed_format.h, docs/FORMAT.md).
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/mapping.h"
#include "base/result.h"
#include "index/segment.h"

namespace steno {

// The memory that sealing takes: enough for every segment of plain flows, and for most of others.
inline constexpr size_t kSealScratchBytes = 31 << 20;

// True if there is no time left for sealing.
using Hurry = std::function<bool()>;

// Seals one segment after another. Takes its memory once and keeps it. Not thread-safe; CPU and I/O of the
// calling thread.
class Sealer {
 public:
  static Result<Sealer> Create(size_t scratch_bytes = kSealScratchBytes);

  // Takes the pages of its memory now, for no seal to wait for them.
  void TakePages() const { memory_.TakePages(); }

  // Writes `<directory>/.<name>`, syncs, renames to `<directory>/<name>`, syncs the directory. Readers never
  // see a partial index. kExhausted if the flows (of many layers each) need more memory than there is.
  // kCancelled, at one of a few places on the way, if `hurry` is there and says yes. After both,
  // WriteRawIndex() is what is left.
  Status Seal(const SegmentSnapshot& segment, const std::string& directory, const std::string& name,
              const Hurry& hurry = {});

 private:
  explicit Sealer(Mapping memory) : memory_(std::move(memory)) {}
  Mapping memory_;
};

// The same once, with memory of its own.
Status SealSegment(const SegmentSnapshot& segment, const std::string& directory, const std::string& name);

struct RebuildOptions {
  size_t max_blocks = kSegmentMaxBlocks;  // only the file's first ones
  uint32_t max_pairs = kSegmentMaxPairs;  // full with so many pairs of flow and granule
  // Called before so many bytes are read; may wait. False ends the work: kCancelled.
  std::function<bool(uint64_t bytes)> before_read;
};

// Builds the index of a packet file that has none, by reading its packets once, in private memory. A file
// with more flows than a segment holds gets an index whose last blocks are marked unindexed, one with more
// blocks an index without the last ones.
Status RebuildIndex(const std::string& packet_path, const std::string& index_directory,
                    const std::string& name, const RebuildOptions& options = {});

// Seals a raw index and replaces it.
Status CompactIndex(const std::string& directory, const std::string& name);

}  // namespace steno
