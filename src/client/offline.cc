#include "client/offline.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "query/execute.h"
#include "query/explain.h"
#include "query/parse.h"
#include "query/query_limits.h"
#include "storage/output_file.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

bool IsDirectory(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// The index directory's name for a packet directory's: PKT3 -> IDX3, packets -> index.
std::string IndexName(const std::string& name) {
  if (name.starts_with("PKT")) return "IDX" + name.substr(3);
  if (name == "packets") return "index";
  return {};
}

StoreDirectory WithIndexes(const fs::path& packets) {
  const std::string index = IndexName(packets.filename());
  if (!index.empty() && IsDirectory(packets.parent_path() / index))
    return {packets, packets.parent_path() / index};
  return {packets, ""};
}

// PKT10 comes behind PKT9.
bool ByLengthThenName(const StoreDirectory& a, const StoreDirectory& b) {
  return std::pair(a.packets_directory.size(), a.packets_directory) <
         std::pair(b.packets_directory.size(), b.packets_directory);
}

struct Offline {
  std::unique_ptr<Store> store;
  std::vector<std::string> problems;  // what the directories do not give
};

Result<Offline> Open(const std::vector<std::string>& paths) {
  Offline offline;
  std::vector<StoreDirectory> directories;
  for (const std::string& path : paths) {
    STENO_TRY(std::vector<StoreDirectory> found, FindStoreDirectories(path));
    std::ranges::move(found, std::back_inserter(directories));
  }
  for (const StoreDirectory& directory : directories) {
    STENO_TRY(const std::vector<std::string> names, ListDirectory(directory.packets_directory));
    const auto unfinished = std::ranges::count_if(names, IsHiddenPacketFileName);
    if (unfinished != 0) {
      offline.problems.push_back(
          fmt::format("{}: {} unfinished files are left out: stenographer completes them when it starts",
                      directory.packets_directory, unfinished));
    }
  }
  offline.store = std::make_unique<Store>(directories);
  return offline;
}

QueryOutcome Judge(const Status& status, const PacketOutput& output,
                   const std::vector<std::string>& problems) {
  QueryOutcome outcome;
  outcome.bytes = output.bytes();
  if (output.stopped()) {
    outcome.kind = QueryOutcome::Kind::kStopped;
  } else if (!status || !problems.empty()) {
    outcome.kind = QueryOutcome::Kind::kIncomplete;
    outcome.text = status ? problems.front() : status.error().message;
    if (problems.size() > 1) outcome.text += fmt::format(" (and {} more)", problems.size() - 1);
  }
  return outcome;
}

}  // namespace

Result<std::vector<StoreDirectory>> FindStoreDirectories(const std::string& path) {
  STENO_TRY(const std::vector<std::string> names, ListDirectory(path));
  fs::path top = fs::path(path).lexically_normal();
  if (!top.has_filename()) top = top.parent_path();  // a slash at the end
  std::vector<StoreDirectory> found;
  for (const std::string& name : names) {
    if (!IndexName(name).empty() && IsDirectory(top / name)) found.push_back(WithIndexes(top / name));
  }
  std::ranges::sort(found, ByLengthThenName);
  const bool plain = std::ranges::any_of(
      names, [](const std::string& name) { return IsPacketFileName(name) || IsHiddenPacketFileName(name); });
  if (plain) found.insert(found.begin(), WithIndexes(top));
  if (!found.empty()) return found;
  return Fail(Error::Invalid(path + ": no packet files: expected directories PKT0, PKT1, ... or \"packets\", "
                                    "or files named by the microseconds since 1970"));
}

Result<QueryOutcome> QueryDirectories(const std::vector<std::string>& paths, const QueryRequest& request,
                                      PacketOutput& output) {
  const auto expression = ParseQuery(request.query, WallNs());
  if (!expression)
    return Fail(Error::Invalid("could not parse query: " + QueryErrorText(expression.error())));
  STENO_TRY(Offline offline, Open(paths));
  QueryOptions options;
  if (request.max_time_seconds != 0)
    options.deadline_ns = MonotonicNs() + request.max_time_seconds * kNsPerSecond;
  LimitCounter counter({request.limit_packets.value_or(0), request.limit_bytes.value_or(0)});
  bool more = counter.CountFileHeader() == LimitCounter::Verdict::kMore;
  Status failure;
  const auto emit = [&](const PacketView& packet, const PacketSource& source) {
    if (!more) return false;
    failure = output.Add(packet, source);
    more = counter.CountPacket(CapturedBytes(packet)) == LimitCounter::Verdict::kMore;
    return failure && more;
  };
  const StoreSnapshot snapshot = offline.store->Snapshot(&offline.problems);
  QueryStats stats;
  Status status = ExecuteQuery(**expression, snapshot, options, emit, stats);
  if (status) status = failure;
  const Status finished = output.Finish(stats.sources);
  if (status) status = finished;
  std::ranges::move(stats.problems, std::back_inserter(offline.problems));
  return Judge(status, output, offline.problems);
}

Result<std::string> ExplainDirectories(const std::vector<std::string>& paths, const std::string& query) {
  const auto expression = ParseQuery(query, WallNs());
  if (!expression)
    return Fail(Error::Invalid("could not parse query: " + QueryErrorText(expression.error())));
  STENO_TRY(Offline offline, Open(paths));
  const StoreSnapshot snapshot = offline.store->Snapshot(&offline.problems);
  STENO_TRY(QueryPlan plan, ExplainQuery(**expression, snapshot, {}));
  std::ranges::move(offline.problems, std::back_inserter(plan.problems));
  return ToText(plan);
}

}  // namespace steno
