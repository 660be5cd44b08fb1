#include "server/http/boost.h"

#include "server/http/http_server.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "server/http/session.h"
#include "server/http/socket_transport.h"
#include "server/http/sockets.h"
#include "server/http/tls_context.h"
#include "server/http/tls_transport.h"
#include "server/message_limiter.h"

namespace steno {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using UnixProtocol = asio::local::stream_protocol;
using std::chrono::milliseconds;

constexpr milliseconds kAcceptPause(50);
constexpr std::chrono::seconds kStopGrace(2);

// Bytes as they are: of local users, whom the kernel names, and on the listener for pages that tell nothing
// of packets.
template <class Socket>
class PlainTransport final : public SocketTransport<Socket> {
 public:
  PlainTransport(Socket socket, ClientIdentity (*identify)(int))
      : SocketTransport<Socket>(std::move(socket)), peer_(identify(this->fd())) {}

  awaitable<bool> Handshake() override { co_return true; }
  awaitable<IoResult> ReadSome(asio::mutable_buffer buffer) override {
    const auto [error, bytes] = co_await this->socket_.async_read_some(buffer, kNoThrow);
    co_return IoResult{error, bytes};
  }
  awaitable<IoResult> Write(std::span<const asio::const_buffer> buffers) override {
    const auto [error, bytes] = co_await asio::async_write(this->socket_, buffers, kNoThrow);
    co_return IoResult{error, bytes};
  }
  awaitable<void> ShutdownSend() override {
    boost::system::error_code ignored;
    this->socket_.shutdown(Socket::shutdown_send, ignored);
    co_return;
  }
  [[nodiscard]] ClientIdentity Peer() const override { return peer_; }

 private:
  const ClientIdentity peer_;
};

ClientIdentity AnonymousPeer(int fd) { return {ClientIdentity::Kind::kCertificate, "", TcpPeerName(fd)}; }

}  // namespace

struct HttpServer::Impl {
  Impl(const HttpServerOptions& server_options, QueryService& query_service, Admission& query_admission,
       ServerPages server_pages)
      : options(server_options),
        queries(query_service),
        admission(query_admission),
        pages(std::move(server_pages)) {}

  Status ListenForTls();
  Status ListenForLocalUsers();
  Status ListenForMetrics();
  template <class Acceptor>
  awaitable<void> Accept(Acceptor& acceptor);
  std::shared_ptr<Transport> MakeTransport(tcp::acceptor& acceptor, tcp::socket socket);
  std::shared_ptr<Transport> MakeTransport(UnixProtocol::acceptor& acceptor, UnixProtocol::socket socket);
  void Begin(std::shared_ptr<Transport> transport, bool metrics_only);
  Status ReloadTls(const TlsFiles& files);
  void BeginStop();
  void Stop();

  const HttpServerOptions options;
  QueryService& queries;
  Admission& admission;
  const ServerPages pages;
  MessageLimiter tls_log{10 * kNsPerSecond};
  MessageLimiter accept_log{10 * kNsPerSecond};
  uint16_t port = 0;

  asio::io_context io{1};
  std::unique_ptr<Waker> waker;
  SslContext tls;
  tcp::acceptor tls_acceptor{io};
  UnixProtocol::acceptor unix_acceptor{io};
  tcp::acceptor metrics_acceptor{io};
  // Of the I/O thread:
  bool stopping = false;
  std::set<std::shared_ptr<Session>> sessions;

  std::mutex mutex;
  std::condition_variable ended;
  size_t open_sessions = 0;  // guarded by mutex
  std::thread thread;
};

void Assign(tcp::acceptor& acceptor, UniqueFd listener) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
  acceptor.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), listener.release());
}

Status HttpServer::Impl::ListenForTls() {
  STENO_TRY(tls, MakeTlsContext(options.tls_files));
  Result<UniqueFd> listener = options.tls_fd >= 0 ? Result<UniqueFd>(UniqueFd(options.tls_fd))
                                                  : ListenTcp(options.host, options.port);
  if (!listener) return Fail(std::move(listener).error().With("Host, Port"));
  STENO_TRY(port, BoundPort(listener->get()));
  Assign(tls_acceptor, std::move(*listener));
  STENO_INFO("listening for TLS clients on {}:{}", options.host, port);
  return {};
}

Status HttpServer::Impl::ListenForLocalUsers() {
  Result<UniqueFd> listener = options.unix_fd >= 0
                                  ? Result<UniqueFd>(UniqueFd(options.unix_fd))
                                  : ListenUnix(options.unix_socket, options.unix_socket_group);
  if (!listener) return Fail(std::move(listener).error().With("UnixSocket"));
  unix_acceptor.assign(UnixProtocol(), listener->release());
  STENO_INFO("listening for local users on {}", options.unix_socket);
  return {};
}

Status HttpServer::Impl::ListenForMetrics() {
  Result<UniqueFd> listener = options.metrics_fd >= 0 ? Result<UniqueFd>(UniqueFd(options.metrics_fd))
                                                      : ListenTcp(options.metrics_host, options.metrics_port);
  if (!listener) return Fail(std::move(listener).error().With("Metrics"));
  Assign(metrics_acceptor, std::move(*listener));
  STENO_INFO("listening for /metrics on {}:{}", options.metrics_host, options.metrics_port);
  return {};
}

std::shared_ptr<Transport> HttpServer::Impl::MakeTransport(tcp::acceptor& acceptor, tcp::socket socket) {
  if (&acceptor == &metrics_acceptor)
    return std::make_shared<PlainTransport<tcp::socket>>(std::move(socket), AnonymousPeer);
  return MakeTlsTransport(std::move(socket), tls.get(), queries.stats(), tls_log);
}

std::shared_ptr<Transport> HttpServer::Impl::MakeTransport(UnixProtocol::acceptor&,
                                                           UnixProtocol::socket socket) {
  return std::make_shared<PlainTransport<UnixProtocol::socket>>(std::move(socket), UnixPeer);
}

template <class Acceptor>
awaitable<void> HttpServer::Impl::Accept(Acceptor& acceptor) {
  asio::steady_timer pause(io);
  while (!stopping) {
    if (sessions.size() >= options.max_connections) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kNoThrow);
      continue;
    }
    auto accepted = co_await acceptor.async_accept(kNoThrow);
    const boost::system::error_code error = std::get<0>(accepted);
    if (stopping) co_return;
    if (error) {  // a client that is gone again, or no descriptor left
      if (accept_log.Allow(MonotonicNs())) STENO_WARN("accept: {}", error.message());
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kNoThrow);
      continue;
    }
    std::shared_ptr<Transport> transport = MakeTransport(acceptor, std::move(std::get<1>(accepted)));
    Begin(std::move(transport), static_cast<void*>(&acceptor) == &metrics_acceptor);
  }
}

void HttpServer::Impl::Begin(std::shared_ptr<Transport> transport, bool metrics_only) {
  const SessionContext context{queries, admission, pages, *waker, stopping, metrics_only, options.slot_wait};
  auto session = std::make_shared<Session>(std::move(transport), context);
  sessions.insert(session);
  queries.stats().connections_accepted.fetch_add(1);
  queries.stats().connections_open.fetch_add(1);
  {
    const std::lock_guard lock(mutex);
    ++open_sessions;
  }
  asio::co_spawn(io, session->Run(), [this, session](const std::exception_ptr&) {
    sessions.erase(session);
    queries.stats().connections_open.fetch_sub(1);
    const std::lock_guard lock(mutex);
    --open_sessions;
    ended.notify_all();
  });
}

// Connections hold the settings that they began with (SSL_new(3) takes a reference).
Status HttpServer::Impl::ReloadTls(const TlsFiles& files) {
  if (!options.tls) return {};
  STENO_TRY(SslContext context, MakeTlsContext(files));
  asio::post(io, [this, fresh = std::move(context)]() mutable { tls = std::move(fresh); });
  return {};
}

void HttpServer::Impl::BeginStop() {
  stopping = true;
  boost::system::error_code ignored;
  tls_acceptor.close(ignored);
  unix_acceptor.close(ignored);
  metrics_acceptor.close(ignored);
  for (const auto& session : sessions) {
    if (session->idle()) session->Close();
  }
}

void HttpServer::Impl::Stop() {
  if (!thread.joinable()) return;
  queries.CancelAll();
  asio::post(io, [this] { BeginStop(); });
  {
    std::unique_lock lock(mutex);
    ended.wait_for(lock, kStopGrace, [this] { return open_sessions == 0; });
  }
  io.stop();
  thread.join();
  queries.Stop();  // its threads use the waker
  if (!options.unix_socket.empty()) ::unlink(options.unix_socket.c_str());
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options, QueryService& queries,
                                                      Admission& admission, ServerPages pages) {
  auto impl = std::make_unique<Impl>(options, queries, admission, std::move(pages));
  if (options.tls || options.tls_fd >= 0) STENO_CHECK_OK(impl->ListenForTls());
  if (!options.unix_socket.empty() || options.unix_fd >= 0) STENO_CHECK_OK(impl->ListenForLocalUsers());
  if (options.metrics_port != 0 || options.metrics_fd >= 0) STENO_CHECK_OK(impl->ListenForMetrics());
  STENO_TRY(impl->waker, Waker::Make(impl->io.get_executor()));
  asio::co_spawn(impl->io, impl->waker->Run(), asio::detached);
  Impl* self = impl.get();
  const auto accept = [self](auto& acceptor) {
    if (acceptor.is_open()) asio::co_spawn(self->io, self->Accept(acceptor), asio::detached);
  };
  accept(self->tls_acceptor);
  accept(self->unix_acceptor);
  accept(self->metrics_acceptor);
  self->thread = std::thread([self] {
    ::pthread_setname_np(::pthread_self(), "http");
    self->io.run();
  });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

bool HttpServer::Answers(std::chrono::milliseconds within) {
  // Shared: the answer may come after we have left.
  const auto answer = std::make_shared<std::promise<void>>();
  asio::post(impl_->io, [answer] { answer->set_value(); });
  return answer->get_future().wait_for(within) == std::future_status::ready;
}

Status HttpServer::ReloadTls(const TlsFiles& files) { return impl_->ReloadTls(files); }
void HttpServer::Stop() { impl_->Stop(); }
uint16_t HttpServer::port() const { return impl_->port; }

}  // namespace steno
