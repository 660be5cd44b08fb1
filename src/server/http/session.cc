// Coroutines, and what to mind in them: g++ 12 destroys temporaries of a co_await expression twice, so
// whatever has a destructor is given a name before it is passed on.
#include "server/http/session.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>

#include "base/clock.h"
#include "base/log.h"
#include "query/parse.h"
#include "server/http/sockets.h"
#include "server/summary_fields.h"

namespace steno {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr size_t kMaxHeaderBytes = 16 * 1024;
constexpr size_t kReadBytes = 16 * 1024;
constexpr milliseconds kRequestTime(10'000);  // for the header, and again for the body
constexpr milliseconds kReplyTime(30'000);
constexpr milliseconds kKeepAliveTime(60'000);
constexpr milliseconds kLingerTime(2'000);
constexpr size_t kMaxLingerBytes = 8 << 20;
// How often a session looks whether its client is still there, and sends what the query has found meanwhile.
constexpr milliseconds kQueryTick(25);

using Parser = http::request_parser<http::string_body>;

std::optional<std::string> Header(const Parser& parser, const char* name) {
  const auto field = parser.get().find(name);
  if (field == parser.get().end()) return std::nullopt;
  return std::string(field->value());
}

const char* ContentType(const QueryJob& job) {
  return job.explain ? "application/json" : MediaType(job.format);
}

HttpReply ParseFailure(const boost::system::error_code& error) {
  HttpReply reply;
  if (error == http::error::body_limit) {
    reply.status = 413;
    reply.body =
        fmt::format("the request's body is too large: a query is at most {} bytes\n", kMaxQueryBytes);
  } else if (error == http::error::header_limit) {
    reply.status = 431;
    reply.body =
        fmt::format("the request's header is too large: at most {} bytes are accepted\n", kMaxHeaderBytes);
  } else {
    reply.status = 400;
    reply.body = fmt::format("not a HTTP/1.1 request: {}\n", error.message());
  }
  return reply;
}

// Cancels a query that its session leaves, in whatever way.
class QueryGuard {
 public:
  explicit QueryGuard(RunningQuery& query) : query_(query) {}
  ~QueryGuard() { query_.Abandon(); }
  QueryGuard(const QueryGuard&) = delete;
  QueryGuard& operator=(const QueryGuard&) = delete;

 private:
  RunningQuery& query_;
};

}  // namespace

struct Session::Impl {
  // What reading a request came to.
  enum class Next { kAnswer, kRefuse, kLeave };

  Impl(std::shared_ptr<Transport> connection, const SessionContext& session_context)
      : transport(std::move(connection)), context(session_context) {}

  awaitable<void> Run();
  awaitable<Next> ReadRequest(Parser& parser);
  awaitable<Next> ReadMore(Parser& parser);
  awaitable<bool> Answer(const Parser& parser);
  awaitable<bool> SendReply(const HttpReply& reply, bool keep_alive, unsigned http_minor,
                            bool with_body = true);
  awaitable<bool> SendQueryHead(const QueryJob& job, bool keep_alive, unsigned http_minor);
  awaitable<bool> SendText(const std::string& text);
  awaitable<bool> RunQuery(QueryJob job, bool keep_alive, unsigned http_minor);
  awaitable<bool> WaitForSlot(RunningQuery& query, Signal& signal);
  awaitable<bool> Stream(RunningQuery& query, Signal& signal, bool chunked, std::string head);
  awaitable<void> Linger();

  std::shared_ptr<Transport> transport;
  const SessionContext context;
  ClientIdentity client;
  boost::beast::flat_buffer buffer;
  boost::system::error_code parse_error;
  bool idle = true;
};

awaitable<void> Session::Impl::Run() {
  transport->ExpireAfter(kRequestTime);
  const bool connected = co_await transport->Handshake();
  if (!connected) co_return;
  client = transport->Peer();
  transport->ExpireAfter(kRequestTime);
  while (!context.stopping) {
    Parser parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(kMaxQueryBytes);
    idle = true;
    const Next next = co_await ReadRequest(parser);
    if (next == Next::kLeave) break;
    if (next == Next::kRefuse) {
      const HttpReply reply = ParseFailure(parse_error);
      co_await SendReply(reply, false, 1);
      co_await Linger();
      break;
    }
    const bool go_on = co_await Answer(parser);
    if (!go_on) break;
    transport->ExpireAfter(kKeepAliveTime);
  }
  transport->ExpireAfter(kLingerTime);
  co_await transport->ShutdownSend();
}

// Feeds the parser with what is there, and with one more read. kAnswer: it took something.
awaitable<Session::Impl::Next> Session::Impl::ReadMore(Parser& parser) {
  boost::system::error_code error = http::error::need_more;
  if (buffer.size() > 0) buffer.consume(parser.put(buffer.data(), error));
  if (!error) co_return Next::kAnswer;
  if (error == http::error::need_more) {
    const auto space = buffer.prepare(kReadBytes);
    const IoResult got = co_await transport->ReadSome(space);
    if (got.error || got.bytes == 0) co_return Next::kLeave;
    if (idle) transport->ExpireAfter(kRequestTime);
    idle = false;
    buffer.commit(got.bytes);
    co_return Next::kAnswer;
  }
  parse_error = error;
  co_return Next::kRefuse;
}

awaitable<Session::Impl::Next> Session::Impl::ReadRequest(Parser& parser) {
  if (buffer.size() > 0) {  // pipelined
    transport->ExpireAfter(kRequestTime);
    idle = false;
  }
  while (!parser.is_header_done()) {
    const Next next = co_await ReadMore(parser);
    if (next != Next::kAnswer) co_return next;
  }
  if (const auto expect = Header(parser, "Expect");
      expect && parser.get().version() >= 11 && !parser.is_done()) {
    const std::string go_ahead = "HTTP/1.1 100 Continue\r\n\r\n";
    const bool sent = co_await SendText(go_ahead);
    if (!sent) co_return Next::kLeave;
  }
  transport->ExpireAfter(kRequestTime);
  parser.eager(true);
  while (!parser.is_done()) {
    const Next next = co_await ReadMore(parser);
    if (next != Next::kAnswer) co_return next;
  }
  co_return Next::kAnswer;
}

awaitable<bool> Session::Impl::Answer(const Parser& parser) {
  const auto& message = parser.get();
  const unsigned minor = message.version() >= 11 ? 1 : 0;
  const bool keep_alive = message.keep_alive() && !context.stopping;
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.body = message.body();
  request.limit_packets = Header(parser, "Steno-Limit-Packets");
  request.limit_bytes = Header(parser, "Steno-Limit-Bytes");
  request.accept = Header(parser, "Accept");
  request.client = client;
  auto routed = context.metrics_only ? RouteMetrics(request, context.pages)
                                     : Route(request, context.pages, context.admission, WallNs());
  const bool head = request.method == "HEAD";
  if (auto* reply = std::get_if<HttpReply>(&routed)) {
    const bool sent = co_await SendReply(*reply, keep_alive, minor, !head);
    co_return sent&& keep_alive;
  }
  QueryJob job = std::move(std::get<QueryJob>(routed));
  if (head) {
    const bool sent = co_await SendQueryHead(job, keep_alive, minor);
    co_return sent&& keep_alive;
  }
  const bool done = co_await RunQuery(std::move(job), keep_alive, minor);
  co_return done&& keep_alive;
}

// What a HEAD of a query is answered: it would be accepted; its length is not known before it has run.
awaitable<bool> Session::Impl::SendQueryHead(const QueryJob& job, bool keep_alive, unsigned http_minor) {
  const HeaderList headers = {{"Content-Type", ContentType(job)}};
  const std::string text = ReplyHead(200, headers, keep_alive, http_minor);
  const bool sent = co_await SendText(text);
  co_return sent;
}

awaitable<bool> Session::Impl::SendText(const std::string& text) {
  const std::array<asio::const_buffer, 1> buffers = {asio::buffer(text)};
  const IoResult put = co_await transport->Write(buffers);
  co_return !put.error;
}

awaitable<bool> Session::Impl::SendReply(const HttpReply& reply, bool keep_alive, unsigned http_minor,
                                         bool with_body) {
  transport->ExpireAfter(kReplyTime);
  std::string text = Serialise(reply, keep_alive, http_minor);
  if (!with_body) text.resize(text.size() - reply.body.size());
  const bool sent = co_await SendText(text);
  co_return sent;
}

// A client that still sends when its connection is closed may lose the reply: let it finish, within reason.
awaitable<void> Session::Impl::Linger() {
  transport->ExpireAfter(kLingerTime);
  co_await transport->ShutdownSend();
  for (size_t total = 0; total < kMaxLingerBytes;) {
    buffer.clear();
    const auto space = buffer.prepare(kReadBytes);
    const IoResult got = co_await transport->ReadSome(space);
    if (got.error || got.bytes == 0) co_return;
    total += got.bytes;
  }
}

awaitable<bool> Session::Impl::RunQuery(QueryJob job, bool keep_alive, unsigned http_minor) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto signal = std::make_shared<Signal>(context.waker, executor);
  const char* const content_type = ContentType(job);
  const auto query = context.queries.Start(std::move(job), [signal] { signal->Raise(); });
  const QueryGuard guard(*query);
  // A client may read slowly for as long as a query may run.
  const int64_t seconds = context.queries.timeout_ns() / kNsPerSecond;
  transport->ExpireAfter(context.slot_wait + kReplyTime + std::chrono::seconds(seconds));

  const bool started = co_await WaitForSlot(*query, *signal);
  if (!started) {
    if (PeerHasLeft(transport->fd())) co_return false;
    context.queries.stats().queries_refused.fetch_add(1);
    const HttpReply busy{503,
                         "all query slots are in use: try again later\n",
                         "text/plain; charset=utf-8",
                         {{"Retry-After", "5"}}};
    const bool sent = co_await SendReply(busy, keep_alive, http_minor);
    co_return sent;
  }
  HeaderList headers = {{"Content-Type", content_type}};
  const bool chunked = http_minor >= 1;
  if (chunked) {
    headers.emplace_back("Transfer-Encoding", "chunked");
    headers.emplace_back("Trailer", kSummaryFieldNames);
  }
  // HTTP/1.0 ends a body of unknown length by closing the connection.
  std::string head = ReplyHead(200, headers, keep_alive && chunked, http_minor);
  const bool sent = co_await Stream(*query, *signal, chunked, std::move(head));
  co_return sent&& chunked;
}

// False: no thread has become free in time, the client has left, or the server stops.
awaitable<bool> Session::Impl::WaitForSlot(RunningQuery& query, Signal& signal) {
  const auto end = std::chrono::steady_clock::now() + context.slot_wait;
  while (!query.started()) {
    if (context.stopping || std::chrono::steady_clock::now() >= end || PeerHasLeft(transport->fd()))
      co_return false;
    co_await signal.Wait(kQueryTick);
  }
  co_return true;
}

// Sends `head` with the first bytes of the result, then the rest as it is found, and the trailers.
awaitable<bool> Session::Impl::Stream(RunningQuery& query, Signal& signal, bool chunked, std::string head) {
  bool waited = false;
  for (;;) {
    const RunningQuery::Piece piece = query.Take();
    if (piece.bytes.empty() && !piece.done) {
      if (PeerHasLeft(transport->fd())) co_return false;
      if (waited && !head.empty()) {  // the first packet is long in coming: say that the query runs
        const bool sent = co_await SendText(head);
        if (!sent) co_return false;
        head.clear();
      }
      co_await signal.Wait(kQueryTick);
      waited = true;
      continue;
    }
    std::string tail;
    if (chunked && !piece.bytes.empty()) {
      head += ChunkHead(piece.bytes.size());
      tail = "\r\n";
    }
    if (chunked && piece.done) {
      const HeaderList trailers = SummaryFields(query.summary());
      tail += LastChunk(trailers);
    }
    const std::array<asio::const_buffer, 3> buffers = {asio::buffer(head), asio::buffer(piece.bytes),
                                                       asio::buffer(tail)};
    const IoResult put = co_await transport->Write(buffers);
    if (put.error) co_return false;
    if (piece.done) co_return true;
    head.clear();
  }
}

Session::Session(std::shared_ptr<Transport> transport, const SessionContext& context)
    : impl_(std::make_unique<Impl>(std::move(transport), context)) {}
Session::~Session() = default;

awaitable<void> Session::Run() {
  try {
    co_await impl_->Run();
  } catch (const std::exception& e) {
    STENO_WARN("session of {}: {}", impl_->client.Text(), e.what());
  }
  impl_->transport->Close();
}

bool Session::idle() const { return impl_->idle; }
void Session::Close() { impl_->transport->Close(); }

}  // namespace steno
