#include "query/file_plan.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/interrupt.h"

#include "query/flow_select.h"

namespace steno {
namespace {

// A live segment can be reset under a query once, and its file is sealed from then on.
constexpr int kMaxAttempts = 4;

Result<std::vector<ReadUnit>> PlanUnits(const OpenedFile& opened, const PlanRequest& request) {
  if (!opened.index || request.time_only) return PlanScan(opened.blocks, request.bounds);
  STENO_TRY(const FlowMatch match, SelectFlows(*request.expression, *opened.index, SpanOf(opened.blocks)));
  std::vector<uint32_t> granules;
  const uint32_t selected = match.may.Count();
  if (selected != 0) {
    if (selected == opened.index->flow_count()) return PlanScan(opened.blocks, request.bounds);
    STENO_CHECK_OK(CheckInterrupt());
    STENO_TRY(granules, opened.index->Granules(match.may));
  }
  return PlanGranules(opened.blocks, request.bounds, *opened.index, granules);
}

FilePlan Finish(OpenedFile opened, std::vector<ReadUnit> units, const PlanRequest& request) {
  FilePlan plan;
  plan.origin = std::move(opened.origin);
  plan.drops = DropsIn(opened.blocks, request.bounds);
  plan.scanned = !opened.index;
  if (!opened.problem.empty()) plan.problems.push_back(std::move(opened.problem));
  const auto damaged = std::ranges::find_if_not(opened.blocks, IsReadable);
  if (damaged != opened.blocks.end()) {
    plan.problems.push_back(fmt::format("{}: block at byte {} has {} bytes, expected {} to {}",
                                        opened.file->path(), damaged->file_offset, damaged->used_bytes,
                                        kKernelHeaderBytes, kMaxBlockBytes));
  }
  plan.units = std::move(units);
  if (plan.units.empty()) return plan;
  SortByTime(plan.units);
  if (!request.will_read) return plan;
  plan.file = std::move(opened.file);
  // Units are announced one by one: reading ahead on top of that would fetch what nobody asked for.
  ::posix_fadvise(plan.file->fd(), 0, 0, POSIX_FADV_RANDOM);
  Announce(*plan.file, plan.units.front());
  return plan;
}

}  // namespace

PlanRequest MakePlanRequest(const Expression& expression) {
  return {&expression, TimeBounds(expression), AsksOnlyForTime(expression)};
}

Result<FilePlan> PlanFile(const StoredFile& stored, const PlanRequest& request) {
  if (!stored.MayMatch(*request.expression, StoredFile::Effort::kSmallRead)) {
    FilePlan plan;
    plan.ruled_out = true;
    return plan;
  }
  STENO_CHECK_OK(CheckInterrupt());
  Result<OpenedFile> opened = stored.Open();
  for (int attempt = 1;; ++attempt) {
    if (!opened) return Fail(std::move(opened).error());
    Result<std::vector<ReadUnit>> units = PlanUnits(*opened, request);
    if (units) return Finish(std::move(*opened), std::move(*units), request);
    if (units.error().code == ErrorCode::kCancelled) return Fail(std::move(units).error());
    const bool reset = units.error().code == ErrorCode::kStale && attempt < kMaxAttempts;
    opened = reset ? stored.Open() : stored.OpenForScan(units.error());
  }
}

void Announce(const PacketFile& file, const ReadUnit& unit) {
  ::posix_fadvise(file.fd(), static_cast<off_t>(unit.read_begin),
                  static_cast<off_t>(unit.read_end - unit.read_begin), POSIX_FADV_WILLNEED);
}

}  // namespace steno
