#include "index/sealer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

#include "index/address_dictionary.h"
#include "index/flow_columns.h"
#include "index/flow_order.h"
#include "index/granule_table.h"
#include "index/index_end.h"
#include "index/postings.h"
#include "index/sealed_writer.h"

namespace steno {
namespace {

Status WriteIndex(const SegmentSnapshot& segment, Scratch scratch, const Hurry& hurry, SealedWriter& writer) {
  const auto check = [&hurry]() -> Status {
    if (!hurry || !hurry()) return {};
    return Fail(Error{ErrorCode::kCancelled, 0, 0, "sealing: given up for want of time"});
  };
  IndexFooter footer = SummarizeSegment(segment);
  STENO_TRY(const FlowOrder order, SortFlows(segment, scratch));
  STENO_CHECK_OK(check());
  STENO_CHECK_OK(WriteFlowColumns(order, scratch, writer, footer));
  STENO_CHECK_OK(check());
  scratch.Release(order.tails);
  STENO_CHECK_OK(WritePostings(order, scratch, writer));
  STENO_CHECK_OK(check());

  // The small sections that most queries need come last: one read gets them with the footer.
  STENO_CHECK_OK(writer.Add(SectionId::kGranules, EncodeGranules(segment.granule_first_packet)));
  STENO_CHECK_OK(WriteAddresses(order, scratch, writer, footer));
  return FinishIndex(segment, footer, writer);
}

}  // namespace

Result<Sealer> Sealer::Create(size_t scratch_bytes) {
  STENO_TRY(Mapping memory, Mapping::Anonymous(scratch_bytes));
  // Best effort: sorting writes to many places at once.
  (void)::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  return Sealer(std::move(memory));
}

Status Sealer::Seal(const SegmentSnapshot& segment, const std::string& directory, const std::string& name,
                    const Hurry& hurry) {
  const auto with_context = [&](Status status) {
    return std::move(status).map_error(
        [&](Error error) { return std::move(error).With(fmt::format("index {}/{}", directory, name)); });
  };
  auto writer = SealedWriter::Create(directory, name, segment.file_id, segment.file_tag);
  if (!writer) return with_context(Fail(std::move(writer).error()));
  return with_context(WriteIndex(segment, Scratch(memory_.bytes()), hurry, *writer));
}

Status SealSegment(const SegmentSnapshot& segment, const std::string& directory, const std::string& name) {
  STENO_TRY(Sealer sealer, Sealer::Create());
  return sealer.Seal(segment, directory, name);
}

}  // namespace steno
