#include "server/query_service.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "pcap/pcap_writer.h"
#include "query/explain.h"
#include "server/plan_json.h"
#include "server/printable.h"

namespace steno {
namespace {

// Queries yield to the capture threads where both want a processor; see setpriority(2) for threads.
constexpr int kWorkerNice = 5;

// What a packet may take in a result besides its own bytes: pcapng's description of its interface, with texts
// of at most 1000 bytes, and of itself.
constexpr size_t kEncodingRoom = 8 << 10;
static_assert(kPcapSnaplen + kEncodingRoom <= ResultStream::kMaxRoom);

// Of queries that have read so much, what malloc() keeps is given back: it keeps it for each thread apart.
constexpr uint64_t kTrimBytes = 64 << 20;

std::string CutReason(LimitCounter::Verdict verdict, const Status& status, bool stopped, bool late) {
  if (verdict == LimitCounter::Verdict::kPacketLimit) return "limit-packets";
  if (verdict == LimitCounter::Verdict::kByteLimit) return "limit-bytes";
  if (stopped || (!status && status.error().code == ErrorCode::kCancelled)) return "cancelled";
  if (late || (!status && status.error().code == ErrorCode::kDeadline)) return "timeout";
  return status ? std::string() : Printable(status.error().message);
}

uint64_t DropsOf(const QueryStats& stats) {
  uint64_t drops = 0;
  for (const PacketSource& source : stats.sources) drops += source.drops;
  return drops;
}

std::string ProblemsReason(const std::vector<std::string>& problems) {
  if (problems.empty()) return {};
  if (problems.size() == 1) return Printable(problems.front());
  return fmt::format("{} problems, the first: {}", problems.size(), Printable(problems.front()));
}

}  // namespace

RunningQuery::RunningQuery(QueryJob job, std::function<void()> on_ready)
    : job_(std::move(job)), on_ready_(std::move(on_ready)), encoder_(job_.format, job_.grouping) {}

RunningQuery::Piece RunningQuery::Take() {
  const bool done = done_.load();
  const std::string_view bytes = stream_.Take();
  return {bytes, done && stream_.drained()};
}

void RunningQuery::Abandon() {
  Cancel();
  const std::lock_guard lock(callback_mutex_);
  on_ready_ = nullptr;
}

void RunningQuery::Signal() {
  const std::lock_guard lock(callback_mutex_);
  if (on_ready_) on_ready_();
}

bool RunningQuery::Append(const PacketView& packet, const PacketSource& source, LimitCounter& counter,
                          int64_t deadline_ns) {
  if (stop_token_.stop_requested()) return false;
  const uint32_t captured = CapturedBytes(packet);
  std::string* const out = stream_.Room(captured + kEncodingRoom, stop_token_, deadline_ns);
  if (out == nullptr) return false;
  const size_t before = out->size();
  failure_ = encoder_.Add(packet, source, *out);
  if (!failure_) return false;
  bytes_ += out->size() - before;
  const bool full = stream_.Publish();
  if (++packets_ == 1 || full) Signal();
  verdict_ = counter.CountPacket(captured);
  return verdict_ == LimitCounter::Verdict::kMore;
}

// What ends a file is sent even if nobody has taken the rest yet: it is a few hundred bytes.
void RunningQuery::End(const std::vector<PacketSource>& sources) {
  std::string end;
  encoder_.Finish(sources, end);
  bytes_ += end.size();
  stream_.PublishLast(std::move(end));
}

void RunningQuery::Finish(QuerySummary summary) {
  summary_ = std::move(summary);
  done_ = true;
  Signal();
}

QueryService::QueryService(Store& store, const QueryServiceOptions& options, ServerStats& stats)
    : store_(store), options_(options), timeout_ns_(options.timeout_ns), stats_(stats) {
  for (unsigned i = 0; i < options_.max_concurrent; ++i) {
    workers_.emplace_back([this](const std::stop_token& stop) { RunWorker(stop); });
  }
}

QueryService::~QueryService() { Stop(); }

std::shared_ptr<RunningQuery> QueryService::Start(QueryJob job, std::function<void()> on_ready) {
  auto query = std::make_shared<RunningQuery>(std::move(job), std::move(on_ready));
  stats_.queries_waiting.fetch_add(1);
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) query->Cancel();
    waiting_.push_back(query);
  }
  wake_.notify_one();
  return query;
}

void QueryService::CancelAll() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (const auto& query : waiting_) query->Cancel();
  for (const auto& running : running_) {
    if (const auto query = running.lock()) query->Cancel();
  }
}

void QueryService::Stop() {
  CancelAll();
  for (std::jthread& worker : workers_) worker.request_stop();
  workers_.clear();
}

void QueryService::RunWorker(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "query");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kWorkerNice);
  for (;;) {
    std::shared_ptr<RunningQuery> query;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
      query = std::move(waiting_.front());
      waiting_.pop_front();
      std::erase_if(running_, [](const auto& other) { return other.expired(); });
      running_.push_back(query);
    }
    stats_.queries_waiting.fetch_sub(1);
    Run(*query);
  }
}

void QueryService::Run(RunningQuery& query) {
  if (query.stop_.stop_requested()) {
    QuerySummary nothing{.complete = false, .reason = "cancelled"};
    Record(query, {}, nothing, 0);
    return query.Finish(std::move(nothing));
  }
  const int64_t start_ns = MonotonicNs();
  const int64_t deadline_ns = start_ns + timeout_ns_;
  query.started_ = true;
  stats_.queries_running.fetch_add(1);

  QueryStats stats;
  Status status;
  LimitCounter counter(query.job_.limits);
  try {
    status = Answer(query, deadline_ns, counter, stats);
  } catch (const std::exception& e) {
    status = Fail(Error::Exhausted(fmt::format("the query failed: {}", e.what())));
  }

  const bool late = MonotonicNs() >= deadline_ns;
  QuerySummary summary{query.packets_, query.bytes_, stats.problems.size(), DropsOf(stats), true, {}};
  summary.reason = CutReason(query.verdict_, status, query.stop_.stop_requested(), late);
  if (summary.reason.empty()) summary.reason = ProblemsReason(stats.problems);
  summary.complete = summary.reason.empty();
  Record(query, stats, summary, MonotonicNs() - start_ns);
  stats_.queries_running.fetch_sub(1);
  query.Finish(std::move(summary));
  if (stats.bytes_read >= kTrimBytes) ::malloc_trim(0);
}

Status QueryService::Answer(RunningQuery& query, int64_t deadline_ns, LimitCounter& counter,
                            QueryStats& stats) {
  const QueryOptions options{.stop = query.stop_.get_token(),
                             .deadline_ns = deadline_ns,
                             .memory = options_.memory,
                             .governor = options_.governor};
  if (query.job_.explain) return Explain(query, store_.Snapshot(), options);
  query.verdict_ = counter.CountFileHeader();
  if (query.verdict_ != LimitCounter::Verdict::kMore) {
    query.End({});
    return {};
  }
  std::vector<std::string> problems;
  const StoreSnapshot snapshot = store_.Snapshot(&problems);
  const auto emit = [&](const PacketView& packet, const PacketSource& source) {
    return query.Append(packet, source, counter, deadline_ns);
  };
  Status status = ExecuteQuery(*query.job_.expression, snapshot, options, emit, stats);
  stats.problems.insert(stats.problems.begin(), problems.begin(), problems.end());
  query.End(stats.sources);
  if (status && !query.failure_) status = query.failure_;
  return status;
}

// A plan has no more text than the query and the store's problems.
Status QueryService::Explain(RunningQuery& query, const StoreSnapshot& snapshot,
                             const QueryOptions& options) {
  STENO_TRY(const QueryPlan plan, ExplainQuery(*query.job_.expression, snapshot, options));
  std::string text = ToJson(plan);
  query.bytes_ = text.size();
  query.stream_.PublishLast(std::move(text));
  return {};
}

void QueryService::Record(const RunningQuery& query, const QueryStats& stats, const QuerySummary& summary,
                          int64_t elapsed_ns) {
  stats_.queries_completed.fetch_add(1);
  if (!summary.complete) stats_.queries_cut.fetch_add(1);
  stats_.query_bytes.fetch_add(summary.bytes);
  stats_.query_nanos.fetch_add(static_cast<uint64_t>(elapsed_ns));
  stats_.query_durations.Add(elapsed_ns);
  stats_.packets_matched.fetch_add(stats.packets_matched);
  stats_.packets_read.fetch_add(stats.packets_read);
  stats_.bytes_read.fetch_add(stats.bytes_read);
  stats_.bytes_read_direct.fetch_add(stats.bytes_read_direct);
  stats_.direct_reads_refused.fetch_add(stats.direct_reads_refused);
  stats_.direct_reads_without_room.fetch_add(stats.direct_reads_without_room);
  stats_.files_opened.fetch_add(stats.files_opened);
  stats_.files_scanned.fetch_add(stats.files_scanned);
  stats_.files_ruled_out.fetch_add(stats.files_ruled_out);
  stats_.files_gone.fetch_add(stats.files_gone);
  stats_.query_problems.fetch_add(summary.problems);
  const QueryJob& job = query.job_;
  const std::string who = job.client.Text();
  const char* const operation = job.explain ? "explain" : "query";
  STENO_INFO("{} by {}: \"{}\": {} packets, {} bytes, {} ms, {} of {} files opened, {}", operation, who,
             Printable(job.text), summary.packets, summary.bytes, elapsed_ns / kNsPerMs, stats.files_opened,
             stats.files_considered, summary.complete ? "complete" : summary.reason);
  for (const std::string& problem : stats.problems) STENO_WARN("query by {}: {}", who, Printable(problem));
  if (options_.audit == nullptr) return;
  options_.audit->WriteQuery({job.client, job.role, operation, job.text, job.filter},
                             {.format = std::string(ToString(job.format)),
                              .limits = job.limits,
                              .stats = stats,
                              .packets = summary.packets,
                              .bytes = summary.bytes,
                              .drops = summary.drops,
                              .duration_ns = elapsed_ns,
                              .outcome = summary.complete ? "complete" : summary.reason});
}

}  // namespace steno
