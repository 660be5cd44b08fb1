// What every index file ends with, sealed or raw: the packet file's blocks, and the footer. Pure functions.
#pragma once

#include "base/result.h"
#include "index/sealed_format.h"
#include "index/sealed_writer.h"
#include "index/segment.h"

namespace steno {

// What the blocks say about the whole packet file, and how many granules there are. The rest is left 0.
IndexFooter SummarizeSegment(const SegmentSnapshot& segment);

// Writes kBlocks and ends the file.
Status FinishIndex(const SegmentSnapshot& segment, const IndexFooter& footer, SealedWriter& writer);

}  // namespace steno
