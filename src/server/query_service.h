// QueryService: runs queries on a bounded pool of threads and hands their results over as the bytes of a
// capture file, in pieces.
//
// Independent of the transport. Thread-safe. A query that has been started holds a bounded amount of its
// result (server/result_stream.h): when its consumer is slow, it waits. It ends early when it is cancelled,
// at its deadline, or at a limit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "query/execute.h"
#include "query/expression.h"
#include "query/query_limits.h"
#include "query/result_encoder.h"
#include "query/store.h"
#include "server/audit_log.h"
#include "server/client_identity.h"
#include "server/result_stream.h"
#include "server/server_stats.h"

namespace steno {

// Made by Admission.
struct QueryJob {
  std::string text;       // for the logs
  ClientIdentity client;  // for the logs
  std::string role{};     // for the audit log
  std::string filter{};   // the role's, part of the expression
  ExpressionPtr expression{};
  QueryLimits limits{};
  ResultFormat format = ResultFormat::kPcap;
  Grouping grouping{};            // of kJson
  bool explain = false;           // the result is not the packets but the plan, as JSON
  std::shared_ptr<void> place{};  // given back when the query is gone
};

struct QuerySummary {
  uint64_t packets = 0;
  uint64_t bytes = 0;    // of the result, file header included
  size_t problems = 0;   // files or blocks that could not be read
  uint64_t drops = 0;    // packets known to be lost inside the time bounds
  bool complete = true;  // false: `reason` says why packets are missing
  std::string reason;    // limit-packets, limit-bytes, timeout, cancelled, or a sentence; printable
};

// One query, shared by its consumer and the thread that runs it.
class RunningQuery {
 public:
  struct Piece {
    std::string_view bytes;  // empty: nothing at the moment; in place until the next Take()
    bool done = false;       // nothing will come any more: summary() is final
  };

  RunningQuery(QueryJob job, std::function<void()> on_ready);

  // True once a thread has taken the query up.
  [[nodiscard]] bool started() const { return started_.load(); }
  // What there is of the result: full chunks first, and otherwise whatever has been found so far.
  Piece Take();
  // Asks the query to stop; it still becomes done.
  void Cancel() { stop_.request_stop(); }
  // The consumer leaves: cancels, and `on_ready` is not called after this returns.
  void Abandon();
  // REQUIRES: Take() has said done.
  [[nodiscard]] const QuerySummary& summary() const { return summary_; }

 private:
  friend class QueryService;

  // Producer. False: the query is to end.
  bool Append(const PacketView& packet, const PacketSource& source, LimitCounter& counter,
              int64_t deadline_ns);
  void End(const std::vector<PacketSource>& sources);
  void Finish(QuerySummary summary);
  void Signal();

  const QueryJob job_;
  std::stop_source stop_;
  const std::stop_token stop_token_ = stop_.get_token();  // getting it for each packet would cost
  std::atomic<bool> started_{false};

  std::mutex callback_mutex_;
  std::function<void()> on_ready_;  // guarded by callback_mutex_

  ResultStream stream_;
  // Of the thread that runs the query, until done_:
  ResultEncoder encoder_;
  Status failure_;  // a packet that could not be encoded
  uint64_t packets_ = 0;
  uint64_t bytes_ = 0;
  LimitCounter::Verdict verdict_ = LimitCounter::Verdict::kMore;
  QuerySummary summary_;
  std::atomic<bool> done_{false};
};

struct QueryServiceOptions {
  unsigned max_concurrent = 16;
  int64_t timeout_ns = 900'000'000'000;
  ReadGovernor* governor = nullptr;  // borrowed; null: reads are free
  MemoryBudget* memory = nullptr;    // borrowed; null: each query has its own limit only
  AuditLog* audit = nullptr;         // borrowed; null: none
};

class QueryService {
 public:
  QueryService(Store& store, const QueryServiceOptions& options, ServerStats& stats);
  ~QueryService();  // as Stop()
  QueryService(const QueryService&) = delete;
  QueryService& operator=(const QueryService&) = delete;

  // Queues the query; threads take queries up in this order. `on_ready` is called on a thread of the service
  // when the first bytes, a full chunk, or the end are there to be taken; it must neither block nor throw.
  std::shared_ptr<RunningQuery> Start(QueryJob job, std::function<void()> on_ready);

  // Of the queries that start from now on.
  void SetTimeout(int64_t timeout_ns) { timeout_ns_ = timeout_ns; }
  [[nodiscard]] int64_t timeout_ns() const { return timeout_ns_; }

  // Cancels all queries, queued ones included, and those that are started later; does not wait.
  void CancelAll();
  // Cancels all queries and ends the threads.
  void Stop();

  [[nodiscard]] ServerStats& stats() const { return stats_; }

 private:
  void RunWorker(const std::stop_token& stop);
  void Run(RunningQuery& query);
  Status Answer(RunningQuery& query, int64_t deadline_ns, LimitCounter& counter, QueryStats& stats);
  static Status Explain(RunningQuery& query, const StoreSnapshot& snapshot, const QueryOptions& options);
  void Record(const RunningQuery& query, const QueryStats& stats, const QuerySummary& summary,
              int64_t elapsed_ns);

  Store& store_;
  const QueryServiceOptions options_;
  std::atomic<int64_t> timeout_ns_;
  ServerStats& stats_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  std::deque<std::shared_ptr<RunningQuery>> waiting_;
  std::vector<std::weak_ptr<RunningQuery>> running_;
  bool cancelled_ = false;

  std::vector<std::jthread> workers_;  // last: they use all of the above
};

}  // namespace steno
