// Sealing: a segment in memory -> an index file on disk (format: index/sealed_format.h, docs/FORMAT.md).
#pragma once

#include <string>

#include "base/result.h"
#include "index/segment.h"

namespace steno {

// Writes `<directory>/.<name>`, syncs, renames to `<directory>/<name>`, syncs the directory. Readers never
// see a partial index. CPU and I/O of the calling thread only; uses about 40 bytes of memory per flow and 8
// per pair.
Status SealSegment(const SegmentSnapshot& segment, const std::string& directory, const std::string& name);

// Builds the index of a packet file that has none, by reading its packets once, in private memory. A file
// with more flows than a segment holds gets an index whose last blocks are marked unindexed.
Status RebuildIndex(const std::string& packet_path, const std::string& index_directory,
                    const std::string& name);

}  // namespace steno
