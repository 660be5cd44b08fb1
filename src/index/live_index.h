// LiveIndex: a FlowIndex over a segment that another thread or process is still writing.
//
// Block table and first-packet offsets are copied at construction; flow keys are read in place, so Match()
// and Granules() end with kStale when the segment was reset for another file meanwhile: that file is
// sealed by now, the caller takes its sealed index. The content is untrusted (index/segment_scan.h).
#pragma once

#include <memory>

#include "index/flow_index.h"
#include "index/segment.h"

namespace steno {

// `segment` must outlive the index.
Result<std::unique_ptr<FlowIndex>> MakeLiveIndex(const SegmentMemory& segment);

}  // namespace steno
