// SealedIndex: a FlowIndex over an index file. Reads sections when they are first needed.
//
// Any bytes are safe: offsets, lengths and counts are checked, sections carry checksums. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "index/flow_index.h"
#include "index/index_digest.h"

namespace steno {

// What start-up needs of an index, from its footer alone (one small read).
struct IndexSummary {
  uint64_t file_id = 0;
  uint64_t file_tag = 0;
  int64_t first_ns = 0;
  int64_t last_ns = 0;
  uint64_t packets = 0;
  uint64_t packet_file_bytes = 0;
  uint64_t index_bytes = 0;
  uint32_t flows = 0;
  uint32_t pairs_when_full = 0;  // where blocks are unindexed (sealed_format.h)
  bool raw = false;              // not sealed yet (index/raw_index.h)
};

// If `digest` is not null, it becomes the index's, unless that is raw or damaged.
Result<IndexSummary> ReadIndexSummary(const std::string& path, IndexDigest* digest = nullptr);

// True for what is wrong with the index itself. Other failures (no descriptors, an I/O error) may not happen
// again.
inline bool IsUnusableIndex(const Error& error) {
  return error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUnsupported;
}

// Reads all of an index of ours and checks its checksums. kCorrupt or kUnsupported as OpenSealedIndex().
Status CheckIndexFile(const std::string& path);

// kCorrupt or kUnsupported (another version) if the file is not an index of ours. `verify_checksums` is false
// only in tests and fuzzing, which want to see what lies behind the checksums.
Result<std::unique_ptr<FlowIndex>> OpenSealedIndex(const std::string& path, bool verify_checksums = true);

}  // namespace steno
