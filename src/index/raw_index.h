// Raw indexes: a segment written to an index file as it is in memory. That takes a fraction of the time that
// sealing takes; questions to it take longer, and it is larger. It is what is left of a flood while sealing
// cannot keep up, until the server seals it.
//
// Any bytes are safe to read. A RawSegment does not change, so any number of threads may read it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "index/flow_index.h"
#include "index/sealed_file.h"
#include "index/segment.h"

namespace steno {

// Writes `<directory>/<name>` as Sealer::Seal() does.
Status WriteRawIndex(const SegmentSnapshot& segment, const std::string& directory, const std::string& name);

// The segment of a raw index, in private memory.
class RawSegment {
 public:
  // kInvalid if the index is not a raw one.
  static Result<std::unique_ptr<RawSegment>> Load(std::unique_ptr<SealedFile> file);

  [[nodiscard]] const SegmentSnapshot& snapshot() const { return snapshot_; }

 private:
  explicit RawSegment(std::unique_ptr<SealedFile> file) : file_(std::move(file)) {}
  Status LoadArrays();
  Status LoadBlocks();

  std::unique_ptr<SealedFile> file_;  // holds the arrays
  std::vector<uint16_t> granule_first_packet_;
  std::vector<LiveBlock> blocks_;
  SegmentSnapshot snapshot_;
};

std::unique_ptr<FlowIndex> MakeRawIndex(std::unique_ptr<RawSegment> segment);

}  // namespace steno
