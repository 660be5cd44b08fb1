#include "server/http/tls_transport.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>
#include <new>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "server/http/socket_transport.h"
#include "server/http/sockets.h"
#include "server/http/tls_context.h"

namespace steno {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

// A record has at most 16 KiB. Sent one by one they would cost more than their encryption: each is a system
// call, a TCP segment, and wakes the client up.
constexpr size_t kSendBytes = 64 << 10;
// What is kept for the handshake, alerts and small replies.
constexpr size_t kIdleBytes = 4 << 10;

struct FreeSsl {
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
};

// OpenSSL reads from the socket by itself. What it writes is collected, and is sent when that is enough or no
// more will come.
class TlsTransport final : public SocketTransport<tcp::socket> {
 public:
  TlsTransport(tcp::socket socket, SSL_CTX* settings, ServerStats& stats, MessageLimiter& log);

  awaitable<bool> Handshake() override;
  awaitable<IoResult> ReadSome(asio::mutable_buffer buffer) override;
  awaitable<IoResult> Write(std::span<const asio::const_buffer> buffers) override;
  awaitable<void> ShutdownSend() override;
  [[nodiscard]] ClientIdentity Peer() const override {
    return {ClientIdentity::Kind::kCertificate, TlsPeerName(ssl_.get()), address_};
  }

 private:
  // Repeats a call of OpenSSL until it has succeeded or failed for good, and sends and waits as it wants.
  // Where it has succeeded, there may be something to Flush().
  template <class Call>
  awaitable<error_code> Drive(Call call);
  awaitable<error_code> Flush();
  awaitable<error_code> WaitForInput();
  [[nodiscard]] error_code Failure(int ssl_error) const;
  void Reserve(size_t bytes);

  // The two ends of OpenSSL's BIO.
  static BIO_METHOD* MakeMethod();
  static int Receive(BIO* bio, char* to, int bytes);
  static int Collect(BIO* bio, const char* from, int bytes);
  static long Control(BIO* bio, int command, long number, void* pointer);

  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::string collected_;  // of TLS, to be sent; its capacity is never exceeded
  error_code receive_error_;
  ServerStats& stats_;
  MessageLimiter& log_;
  std::string address_;
};

TlsTransport::TlsTransport(tcp::socket socket, SSL_CTX* settings, ServerStats& stats, MessageLimiter& log)
    : SocketTransport(std::move(socket)), ssl_(::SSL_new(settings)), stats_(stats), log_(log) {
  static BIO_METHOD* const method = MakeMethod();
  BIO* const bio = ::BIO_new(method);
  if (!ssl_ || bio == nullptr) {
    ::BIO_free(bio);
    throw std::bad_alloc();
  }
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  ::SSL_set_bio(ssl_.get(), bio, bio);
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  address_ = TcpPeerName(fd());
  Reserve(kIdleBytes);
}

awaitable<bool> TlsTransport::Handshake() {
  error_code error = co_await Drive([](SSL* ssl) { return ::SSL_accept(ssl); });
  if (!error) error = co_await Flush();
  if (!error) co_return true;
  stats_.tls_failures.fetch_add(1);
  if (const auto held_back = log_.Allow(MonotonicNs())) {
    STENO_INFO("TLS handshake with {} failed: {} ({} more not shown)", address_, error.message(), *held_back);
  }
  co_return false;
}

awaitable<IoResult> TlsTransport::ReadSome(asio::mutable_buffer buffer) {
  if (collected_.capacity() > kIdleBytes) Reserve(kIdleBytes);  // an answer has come to its end
  // Waits even where there is something already: who sends without a pause leaves the thread to others.
  if (::SSL_pending(ssl_.get()) == 0 && (::SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) == 0) {
    const error_code error = co_await WaitForInput();
    if (error) co_return IoResult{error, 0};
  }
  size_t got = 0;
  const auto read = [&](SSL* ssl) { return ::SSL_read_ex(ssl, buffer.data(), buffer.size(), &got); };
  error_code error = co_await Drive(read);
  if (!error) error = co_await Flush();  // the answer to a renewal of keys
  co_return IoResult{error, got};
}

awaitable<IoResult> TlsTransport::Write(std::span<const asio::const_buffer> buffers) {
  size_t total = 0;
  for (const asio::const_buffer& buffer : buffers) total += buffer.size();
  if (total > kIdleBytes) Reserve(kSendBytes);
  for (const asio::const_buffer& buffer : buffers) {
    if (buffer.size() == 0) continue;
    size_t put = 0;
    const auto write = [&](SSL* ssl) { return ::SSL_write_ex(ssl, buffer.data(), buffer.size(), &put); };
    const error_code error = co_await Drive(write);
    if (error) co_return IoResult{error, 0};
  }
  const error_code error = co_await Flush();
  co_return IoResult{error, total};
}

// Sends close_notify and waits for the client's, whatever that still sends before.
awaitable<void> TlsTransport::ShutdownSend() {
  // 0: sent, and the client's has not come.
  error_code error = co_await Drive([](SSL* ssl) { return ::SSL_shutdown(ssl) < 0 ? -1 : 1; });
  if (!error) error = co_await Flush();
  std::array<char, 1024> rest;
  while (!error) {
    const IoResult got = co_await ReadSome(asio::buffer(rest));
    error = got.error;
  }
}

template <class Call>
awaitable<error_code> TlsTransport::Drive(Call call) {
  for (;;) {
    ::ERR_clear_error();
    const int result = call(ssl_.get());
    if (result > 0) co_return error_code();
    const int ssl_error = ::SSL_get_error(ssl_.get(), result);
    const error_code failure = Failure(ssl_error);  // before others use the thread's queue of errors
    const error_code send_error = co_await Flush();
    if (failure) co_return failure;
    if (send_error) co_return send_error;
    if (ssl_error == SSL_ERROR_WANT_READ) {
      const error_code error = co_await WaitForInput();
      if (error) co_return error;
    }
  }
}

// None where the call wants to be repeated.
error_code TlsTransport::Failure(int ssl_error) const {
  if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE) return {};
  if (ssl_error == SSL_ERROR_ZERO_RETURN) return asio::error::eof;
  if (const unsigned long code = ::ERR_get_error(); code != 0)
    return {static_cast<int>(code), asio::error::get_ssl_category()};
  return receive_error_ ? receive_error_ : error_code(asio::error::connection_aborted);
}

awaitable<error_code> TlsTransport::Flush() {
  if (collected_.empty()) co_return error_code();
  const auto [error, bytes] = co_await asio::async_write(socket_, asio::buffer(collected_), kNoThrow);
  collected_.clear();
  co_return error;
}

awaitable<error_code> TlsTransport::WaitForInput() {
  const auto [error] = co_await socket_.async_wait(tcp::socket::wait_read, kNoThrow);
  co_return error;
}

// REQUIRES: nothing is collected.
void TlsTransport::Reserve(size_t bytes) {
  if (collected_.capacity() == bytes) return;
  collected_ = std::string();
  collected_.reserve(bytes);
}

BIO_METHOD* TlsTransport::MakeMethod() {
  BIO_METHOD* const method = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
  if (method == nullptr) throw std::bad_alloc();
  ::BIO_meth_set_read(method, Receive);
  ::BIO_meth_set_write(method, Collect);
  ::BIO_meth_set_ctrl(method, Control);
  return method;
}

int TlsTransport::Receive(BIO* bio, char* to, int bytes) {
  auto& self = *static_cast<TlsTransport*>(::BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  error_code error;
  const size_t got = self.socket_.read_some(asio::buffer(to, static_cast<size_t>(bytes)), error);
  if (!error) return static_cast<int>(got);
  if (error == asio::error::would_block || error == asio::error::try_again) {
    BIO_set_retry_read(bio);
  } else {
    self.receive_error_ = error;
  }
  return -1;
}

// Takes what there is room for; OpenSSL comes again with the rest.
int TlsTransport::Collect(BIO* bio, const char* from, int bytes) {
  auto& self = *static_cast<TlsTransport*>(::BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const size_t room = self.collected_.capacity() - self.collected_.size();
  if (room == 0) {
    BIO_set_retry_write(bio);
    return -1;
  }
  const size_t taken = std::min(room, static_cast<size_t>(bytes));
  self.collected_.append(from, taken);
  return static_cast<int>(taken);
}

// A flush by OpenSSL is no reason to send: whoever called it does, once it is done.
long TlsTransport::Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

}  // namespace

std::shared_ptr<Transport> MakeTlsTransport(tcp::socket socket, SSL_CTX* settings, ServerStats& stats,
                                            MessageLimiter& log) {
  return std::make_shared<TlsTransport>(std::move(socket), settings, stats, log);
}

}  // namespace steno
