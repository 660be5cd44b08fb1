// One call of RetrievePcap, and the list of all that are under way.
//
// Threads: gRPC's, those of the query service and the list's own come together in a call; its mutex makes
// them one.
#pragma once

#include <grpcpp/grpcpp.h>
#include <steno.grpc.pb.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/admission.h"
#include "server/config.h"
#include "server/query_service.h"
#include "server/ticker.h"

namespace steno {

struct RetrieveContext {
  const RpcConfig& config;
  QueryService& queries;
  Admission& admission;
  std::chrono::milliseconds slot_wait;
};

// gRPC calls it back when a message has been accepted by the connection, when the client leaves, and at last
// with OnDone. Keeps itself alive until then.
class RetrieveCall final : public grpc::ServerWriteReactor<PcapResponse>,
                           public std::enable_shared_from_this<RetrieveCall> {
 public:
  RetrieveCall(const RetrieveContext& context, grpc::CallbackServerContext& call)
      : context_(context), call_(call) {}

  // Admits the query and starts it, or finishes the call with the reason why not.
  void Begin(const PcapRequest& request);
  // From time to time: sends what the query has found meanwhile; gives up a query that gets no slot.
  void Tick();

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // What follows with "Locked" is called under mutex_.
  void BeginLocked(const PcapRequest& request);
  void SendLocked();
  void FillLocked();
  void FinishLocked(const grpc::Status& status);
  grpc::Status SummaryLocked();
  void Leave();

  const RetrieveContext context_;
  grpc::CallbackServerContext& call_;  // gRPC's, until OnDone

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<RetrieveCall> self_;
  std::shared_ptr<RunningQuery> query_;  // null: refused
  std::chrono::steady_clock::time_point slot_end_;
  PcapResponse response_;  // the message on its way
  size_t chunk_bytes_ = 0;
  std::string rest_;  // of the result, taken and from sent_ on not sent
  size_t sent_ = 0;
  bool begun_ = false;  // a message was sent
  bool ended_ = false;  // the query is done, rest_ is the last of it
  bool writing_ = false;
  bool finished_ = false;
};

// Wakes calls that nobody else would wake. Thread-safe.
class RetrieveCalls {
 public:
  RetrieveCalls();

  void Add(const std::shared_ptr<RetrieveCall>& call);

 private:
  std::chrono::milliseconds TickAll();

  std::mutex mutex_;
  std::vector<std::weak_ptr<RetrieveCall>> calls_;  // guarded by mutex_
  Ticker ticker_;                                   // last: it uses the above
};

}  // namespace steno
