#include "server/rpc/grpc_retrieve.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "server/rpc/grpc_peer.h"
#include "server/rpc/retrieve_terms.h"
#include "server/summary_fields.h"

namespace steno {
namespace {

using std::chrono::steady_clock;

// As often as the sessions of HTTP look after their queries.
constexpr std::chrono::milliseconds kTick{25};
constexpr std::chrono::hours kIdle{1};
constexpr size_t kPcapHeaderBytes = 24;
// A status travels in the trailers, which clients limit to 8 KiB.
constexpr size_t kMaxStatusBytes = 2048;

grpc::Status StatusOf(const Refusal& refusal) {
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  if (refusal.kind == Refusal::Kind::kForbidden) code = grpc::StatusCode::PERMISSION_DENIED;
  if (refusal.kind == Refusal::Kind::kBusy) code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  return {code, refusal.text.substr(0, kMaxStatusBytes)};
}

std::string LowerCase(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

}  // namespace

void RetrieveCall::Begin(const PcapRequest& request) {
  const std::lock_guard lock(mutex_);
  self_ = shared_from_this();
  BeginLocked(request);
}

void RetrieveCall::BeginLocked(const PcapRequest& request) {
  QueryRequest query;
  query.client = PeerOf(call_);
  query.text = request.query();
  auto terms = TermsOf(request.uid(), request.chunk_size(), request.max_size(), context_.config);
  if (!terms) {
    return FinishLocked(
        StatusOf(context_.admission.Refuse(query, {Refusal::Kind::kInvalid, terms.error().message})));
  }
  query.limits.bytes = terms->max_bytes;
  auto admitted = context_.admission.Admit(std::move(query), WallNs());
  if (const auto* refusal = std::get_if<Refusal>(&admitted)) return FinishLocked(StatusOf(*refusal));
  response_.set_uid(terms->uid.empty() ? MakeUid() : std::move(terms->uid));
  chunk_bytes_ = terms->chunk_bytes;
  slot_end_ = steady_clock::now() + context_.slot_wait;
  query_ = context_.queries.Start(std::move(std::get<QueryJob>(admitted)), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    self->SendLocked();
  });
}

void RetrieveCall::Tick() {
  bool late = false;
  {
    const std::lock_guard lock(mutex_);
    if (!query_ || finished_) return;
    late = !query_->started() && steady_clock::now() >= slot_end_;
    if (!late) return SendLocked();
    context_.queries.stats().queries_refused.fetch_add(1);
    FinishLocked({grpc::StatusCode::RESOURCE_EXHAUSTED, "all query slots are in use: try again later"});
  }
  Leave();
}

// Takes more of the result if what was taken is sent. A file header alone is kept back: nothing is sent if no
// packet follows it.
void RetrieveCall::FillLocked() {
  const size_t left = rest_.size() - sent_;
  if (ended_ || left > (begun_ ? 0 : kPcapHeaderBytes)) return;
  const RunningQuery::Piece piece = query_->Take();
  ended_ = piece.done;
  rest_.erase(0, sent_).append(piece.bytes);
  sent_ = 0;
}

// One message at a time: the next follows when the connection has taken it, so a client that reads slowly
// makes the query wait.
void RetrieveCall::SendLocked() {
  if (!query_ || writing_ || finished_) return;
  FillLocked();
  const size_t left = rest_.size() - sent_;
  const bool nothing_yet = !begun_ && left <= kPcapHeaderBytes;
  if (left == 0 || nothing_yet) {
    if (ended_) FinishLocked(SummaryLocked());
    return;
  }
  const size_t bytes = std::min(left, chunk_bytes_);
  response_.mutable_pcap()->assign(rest_, sent_, bytes);
  sent_ += bytes;
  begun_ = writing_ = true;
  StartWrite(&response_);
}

void RetrieveCall::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) return SendLocked();
    FinishLocked(grpc::Status::CANCELLED);
  }
  Leave();
}

void RetrieveCall::OnCancel() {
  Leave();
  const std::lock_guard lock(mutex_);
  FinishLocked(grpc::Status::CANCELLED);
}

// Without mutex_: the query waits for whoever it is calling, and that one may be waiting for mutex_.
void RetrieveCall::Leave() {
  std::shared_ptr<RunningQuery> query;
  {
    const std::lock_guard lock(mutex_);
    query = query_;
  }
  if (query) query->Abandon();
}

void RetrieveCall::OnDone() {
  Leave();
  std::shared_ptr<RetrieveCall> self;  // goes after the lock
  const std::lock_guard lock(mutex_);
  self = std::move(self_);
}

grpc::Status RetrieveCall::SummaryLocked() {
  const QuerySummary& summary = query_->summary();
  for (const auto& [name, value] : SummaryFields(summary)) call_.AddTrailingMetadata(LowerCase(name), value);
  // Nobody but the server itself cancels a query whose client is there.
  if (summary.reason == "cancelled") return {grpc::StatusCode::UNAVAILABLE, "the server stops"};
  return grpc::Status::OK;
}

void RetrieveCall::FinishLocked(const grpc::Status& status) {
  if (std::exchange(finished_, true)) return;
  Finish(status);
}

RetrieveCalls::RetrieveCalls() : ticker_("rpc", [this](const std::stop_token&) { return TickAll(); }) {}

void RetrieveCalls::Add(const std::shared_ptr<RetrieveCall>& call) {
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }
  ticker_.Wake();
}

std::chrono::milliseconds RetrieveCalls::TickAll() {
  std::vector<std::shared_ptr<RetrieveCall>> living;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(calls_, [](const auto& call) { return call.expired(); });
    for (const auto& call : calls_) {
      if (auto alive = call.lock()) living.push_back(std::move(alive));
    }
  }
  for (const auto& call : living) call->Tick();
  return living.empty() ? kIdle : kTick;
}

}  // namespace steno
