#include "query/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/interrupt.h"
#include "query/file_plan.h"
#include "query/merge.h"
#include "query/plan_ahead.h"
#include "query/published_file.h"
#include "query/time_parse.h"

namespace steno {
namespace {

void AddOnce(std::vector<std::string>& list, std::string text) {
  if (std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
}

// Flows have no direction, and MAC addresses only where they have nothing else.
bool IsDirected(const Term& term) { return term.side == Side::kSource || term.side == Side::kDestination; }

void ListTerm(const Expression& leaf, QueryPlan& plan) {
  const bool mac = leaf.term.kind == TermKind::kMac;
  if (!mac) {
    Term undirected = leaf.term;
    if (IsDirected(undirected)) undirected.side = Side::kEither;
    AddOnce(plan.from_index, ToString(*MakeTerm(undirected)));
  }
  if (mac || IsDirected(leaf.term)) AddOnce(plan.from_packets, ToString(leaf));
}

// Everything under a filter is what it implies.
void ListTerms(const Expression& expression, QueryPlan& plan) {
  switch (expression.kind) {
    case NodeKind::kTerm:
      return ListTerm(expression, plan);
    case NodeKind::kTime:
      return AddOnce(plan.from_packets, ToString(expression));
    case NodeKind::kFilter:
      AddOnce(plan.from_packets, ToString(expression));
      break;
    default:
      break;
  }
  for (const ExpressionPtr& child : expression.children) ListTerms(*child, plan);
}

void AddFile(const FilePlan& file, QueryPlan& plan) {
  std::ranges::copy(file.problems, std::back_inserter(plan.problems));
  if (file.ruled_out) {
    ++plan.files.ruled_out;
    return;
  }
  if (file.units.empty()) {
    ++plan.files.nothing_to_read;
    return;
  }
  ++plan.files.to_read;
  if (file.scanned) ++plan.files.without_index;
  plan.reads += file.units.size();
  std::set<uint64_t> blocks;
  for (const ReadUnit& unit : file.units) {
    plan.bytes += unit.read_end - unit.read_begin;
    blocks.insert(unit.block_begin);
  }
  plan.blocks += blocks.size();
}

void AddFailure(const Error& error, QueryPlan& plan) {
  ++plan.files.gone;
  if (!IsGone(error)) plan.problems.push_back(error.message);
}

std::string TimesText(const TimeRange& bounds) {
  if (bounds.Empty()) return "none";
  const bool begins = bounds.begin_ns != INT64_MIN;
  const bool ends = bounds.end_ns != INT64_MAX;
  if (!begins && !ends) return "all";
  return fmt::format("{}{}{}", begins ? "from " + internal::FormatTime(bounds.begin_ns) : "",
                     begins && ends ? " " : "", ends ? "before " + internal::FormatTime(bounds.end_ns) : "");
}

void AppendList(std::string& text, const char* title, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    text += fmt::format("{:<15}{}\n", &line == lines.data() ? title : "", line);
  }
}

}  // namespace

Result<QueryPlan> ExplainQuery(const Expression& expression, const StoreSnapshot& snapshot,
                               const QueryOptions& options) {
  PlanRequest request = MakePlanRequest(expression);
  request.will_read = false;
  QueryPlan plan;
  plan.query = ToString(expression);
  plan.bounds = request.bounds;
  ListTerms(expression, plan);
  plan.files.total = snapshot.size();
  const InterruptScope scope([&options] { return !CheckStop(options); });
  STENO_TRY(const std::vector<MergeSource> sources, CollectSources(snapshot, request.bounds, options));
  plan.files.outside_time = snapshot.size() - sources.size();
  std::vector<const StoredFile*> files;
  for (const MergeSource& source : sources) {
    const bool may_match = source.file->MayMatch(expression, StoredFile::Effort::kMemory);
    if (may_match) files.push_back(source.file);
    if (!may_match) ++plan.files.ruled_out;
  }
  PlanAhead plans(files, request);
  for (size_t at = 0; at < files.size(); ++at) {
    STENO_CHECK_OK(CheckStop(options));
    const Result<FilePlan> file = plans.Take(at);
    if (!file && file.error().code == ErrorCode::kCancelled) STENO_CHECK_OK(CheckStop(options));
    file ? AddFile(*file, plan) : AddFailure(file.error(), plan);
  }
  return plan;
}

std::string ToText(const QueryPlan& plan) {
  const QueryPlan::Files& files = plan.files;
  std::string text =
      fmt::format("{:<15}{}\n{:<15}{}\n", "query", plan.query, "times", TimesText(plan.bounds));
  AppendList(text, "from the index", plan.from_index);
  AppendList(text, "from packets", plan.from_packets);
  text += fmt::format("{:<15}{} to read of {}", "files", files.to_read, files.total);
  for (const auto& [count, what] :
       {std::pair{files.outside_time, "outside the times"},
        std::pair{files.ruled_out, "without such addresses"},
        std::pair{files.nothing_to_read, "with nothing to read"}, std::pair{files.gone, "gone"}}) {
    if (count != 0) text += fmt::format(", {} {}", count, what);
  }
  if (files.without_index != 0)
    text += fmt::format("\n{:<15}{} of them without an index: all of it is read", "", files.without_index);
  text += fmt::format("\n{:<15}{} bytes in {} reads, out of {} blocks\n", "to read", plan.bytes, plan.reads,
                      plan.blocks);
  AppendList(text, "problems", plan.problems);
  return text;
}

}  // namespace steno
