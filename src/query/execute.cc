#include "query/execute.h"

#include <utility>

#include "base/interrupt.h"
#include "query/file_plan.h"
#include "query/merge.h"

namespace steno {

Status ExecuteQuery(const Expression& expression, const StoreSnapshot& snapshot, const QueryOptions& options,
                    const EmitPacket& emit, QueryStats& stats) {
  const PlanRequest request = MakePlanRequest(expression);
  if (request.bounds.Empty()) return {};
  const InterruptScope scope([&options] { return !CheckStop(options); });
  STENO_TRY(std::vector<MergeSource> sources, CollectSources(snapshot, request.bounds, options));
  const uint64_t considered = sources.size();
  std::erase_if(sources, [&](const MergeSource& source) {
    return !source.file->MayMatch(expression, StoredFile::Effort::kMemory);
  });
  stats.files_considered += considered;
  stats.files_ruled_out += considered - sources.size();
  Merge merge(std::move(sources), request, options, emit, stats);
  return merge.Run();
}

}  // namespace steno
