#include "server/http/tls_transport.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "server/http/test_certificates.h"
#include "server/http/test_client.h"
#include "server/http/tls_context.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using testing::TestClient;

// Bytes in which nothing can be lost or change places unseen.
std::string Pattern(size_t bytes) {
  std::string out(bytes, '\0');
  uint32_t state = 1;
  for (char& byte : out) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return out;
}

// The server's end of one connection: what it does is a coroutine on a thread of its own.
class TlsTransportTest : public ::testing::Test {
 protected:
  using Work = std::function<awaitable<void>(Transport&)>;

  void SetUp() override {
    if (!testing::CanMakeCertificates()) GTEST_SKIP() << "needs the openssl program";
    std::signal(SIGPIPE, SIG_IGN);
    testing::MakeCertificate(certs_.path(), "ca", "");
    testing::MakeCertificate(certs_.path(), "server", "ca");
    testing::MakeCertificate(certs_.path(), "client", "ca");
    const TlsFiles files{Path("ca_cert.pem"), Path("server_cert.pem"), Path("server_key.pem"), "", "1.2"};
    auto context = MakeTlsContext(files);
    ASSERT_TRUE(context) << context.error().message;
    context_ = std::move(*context);
  }
  void TearDown() override { Join(); }

  // Accepts the next connection, shakes hands, does `work`, and closes.
  void Serve(Work work) {
    work_ = std::move(work);
    asio::co_spawn(io_, Run(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }
  // Waits for the end of the work.
  void Join() {
    if (thread_.joinable()) thread_.join();
    io_.restart();
  }
  TestClient Connect() {
    TestClient client = TestClient::Tcp(acceptor_.local_endpoint().port());
    EXPECT_TRUE(client.connected());
    return client;
  }
  TestClient ConnectByTls(int version = TLS1_3_VERSION) {
    TestClient client = Connect();
    EXPECT_TRUE(client.StartTls(certs_.path(), "client", version));
    EXPECT_EQ(::SSL_version(client.ssl()), version);
    return client;
  }
  // Everything until close_notify; fails if it does not come.
  static std::string ReadAll(const TestClient& client) {
    std::string all;
    char bytes[8192];
    int got = 0;
    while ((got = ::SSL_read(client.ssl(), bytes, sizeof bytes)) > 0)
      all.append(bytes, static_cast<size_t>(got));
    EXPECT_EQ(::SSL_get_error(client.ssl(), got), SSL_ERROR_ZERO_RETURN);
    return all;
  }
  static void LimitSendBuffer(int fd) {
    const int bytes = 4096;  // the kernel takes twice that
    ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
  }

  testing::TempDir certs_;
  ServerStats stats_;
  std::string peer_;  // of the connection, once Join() has returned; as the next
  bool shaken_hands_ = false;

 private:
  std::string Path(const std::string& name) { return certs_.path() + "/" + name; }
  awaitable<void> Run() {
    tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
    const auto transport = MakeTlsTransport(std::move(socket), context_.get(), stats_, log_);
    transport->ExpireAfter(std::chrono::seconds(60));
    shaken_hands_ = co_await transport->Handshake();
    if (shaken_hands_) {
      peer_ = transport->Peer().name;
      co_await work_(*transport);
    }
    transport->Close();
  }

  SslContext context_;
  MessageLimiter log_{10 * kNsPerSecond};
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  Work work_;
  std::thread thread_;
};

// Through a buffer that holds less than a record, in every relation of sizes to the 16 KiB of a record.
TEST_F(TlsTransportTest, EverythingArrivesByteForByte) {
  const std::vector<std::vector<size_t>> writes = {
      {1}, {0, 5, 0}, {16383, 1, 16384, 16385}, {7, 300'000, 2}, {65536, 65536}, {100, 1'000'000}};
  std::string expected;
  for (const auto& sizes : writes)
    expected += Pattern(std::accumulate(sizes.begin(), sizes.end(), size_t{0}));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::vector<size_t> written;
    Serve([&](Transport& transport) -> awaitable<void> {
      LimitSendBuffer(transport.fd());
      for (const auto& sizes : writes) {
        const std::string bytes = Pattern(std::accumulate(sizes.begin(), sizes.end(), size_t{0}));
        std::vector<asio::const_buffer> buffers;
        size_t at = 0;
        for (const size_t size : sizes) {
          buffers.emplace_back(bytes.data() + at, size);
          at += size;
        }
        const IoResult put = co_await transport.Write(buffers);
        EXPECT_FALSE(put.error) << put.error.message();
        written.push_back(put.bytes);
      }
      co_await transport.ShutdownSend();
    });
    TestClient client = ConnectByTls(version);
    EXPECT_TRUE(ReadAll(client) == expected);
    client.Close();
    Join();
    EXPECT_EQ(std::accumulate(written.begin(), written.end(), size_t{0}), expected.size());
    EXPECT_EQ(peer_, "client");
  }
}

TEST_F(TlsTransportTest, AClientThatLeavesEndsTheWrite) {
  IoResult put;
  Serve([&](Transport& transport) -> awaitable<void> {
    const std::string bytes = Pattern(64 << 20);  // more than sockets hold
    const std::array<asio::const_buffer, 1> buffers = {asio::buffer(bytes)};
    put = co_await transport.Write(buffers);
  });
  TestClient client = ConnectByTls();
  ASSERT_TRUE(client.Fill());
  client.Close();
  Join();
  EXPECT_TRUE(put.error);
}

TEST_F(TlsTransportTest, AWriteThatNobodyReadsEndsWithItsTime) {
  IoResult put;
  Serve([&](Transport& transport) -> awaitable<void> {
    transport.ExpireAfter(std::chrono::milliseconds(100));
    const std::string bytes = Pattern(64 << 20);
    const std::array<asio::const_buffer, 1> buffers = {asio::buffer(bytes)};
    put = co_await transport.Write(buffers);
  });
  const TestClient client = ConnectByTls();
  Join();
  EXPECT_TRUE(put.error);
}

TEST_F(TlsTransportTest, ShuttingDownWaitsForTheClient) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::atomic<bool> ended = false;
    Serve([&](Transport& transport) -> awaitable<void> {
      co_await transport.ShutdownSend();
      ended = true;
    });
    TestClient client = ConnectByTls(version);
    EXPECT_EQ(ReadAll(client), "");
    // A client in the middle of sending goes on until it has seen the end.
    const std::string rest = Pattern(8 << 20);
    EXPECT_TRUE(client.Send(rest)) << "all of it is read";
    EXPECT_FALSE(ended);
    EXPECT_EQ(::SSL_shutdown(client.ssl()), 1);
    Join();
    EXPECT_TRUE(ended);
  }
}

TEST_F(TlsTransportTest, WhatAClientSendsArrivesInPieces) {
  const std::string sent = Pattern(100'000);
  std::string got;
  IoResult last;
  Serve([&](Transport& transport) -> awaitable<void> {
    std::array<char, 1000> piece;  // less than a record
    do {
      last = co_await transport.ReadSome(asio::buffer(piece));
      got.append(piece.data(), last.bytes);
    } while (!last.error);
    co_await transport.ShutdownSend();
  });
  TestClient client = ConnectByTls();
  EXPECT_TRUE(client.Send(sent));
  ::SSL_shutdown(client.ssl());
  EXPECT_EQ(ReadAll(client), "");
  Join();
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(last.error, asio::error::eof);
}

TEST_F(TlsTransportTest, KeysAreRenewedOnRequest) {
  Serve([&](Transport& transport) -> awaitable<void> {
    std::array<char, 16> piece;
    IoResult got;
    while (!(got = co_await transport.ReadSome(asio::buffer(piece))).error) {
      const std::array<asio::const_buffer, 1> back = {asio::buffer(piece.data(), got.bytes)};
      co_await transport.Write(back);
    }
    co_await transport.ShutdownSend();
  });
  TestClient client = ConnectByTls();
  for (const std::string text : {"one", "two", "three"}) {
    EXPECT_EQ(::SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    EXPECT_TRUE(client.Send(text));
    char bytes[16];
    EXPECT_EQ(::SSL_read(client.ssl(), bytes, sizeof bytes), static_cast<int>(text.size()));
  }
  ::SSL_shutdown(client.ssl());
  EXPECT_EQ(ReadAll(client), "");
}

TEST_F(TlsTransportTest, HandshakesThatFailAreCounted) {
  bool worked = false;
  const auto work = [&](Transport&) -> awaitable<void> {
    worked = true;
    co_return;
  };
  Serve(work);
  Connect().Close();  // not a word
  Join();
  EXPECT_EQ(stats_.tls_failures, 1u);
  Serve(work);
  TestClient plain = Connect();
  EXPECT_TRUE(plain.Send("GET / HTTP/1.1\r\n\r\n"));
  Join();
  EXPECT_EQ(stats_.tls_failures, 2u);
  Serve(work);
  TestClient nobody = Connect();
  nobody.StartTls(certs_.path(), "");  // with TLS 1.3 the refusal comes after the client's own handshake
  char byte = 0;
  EXPECT_LE(::SSL_read(nobody.ssl(), &byte, 1), 0);
  EXPECT_EQ(ERR_GET_REASON(::ERR_get_error()), SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED) << "says why";
  Join();
  EXPECT_EQ(stats_.tls_failures, 3u);
  EXPECT_FALSE(worked);
  EXPECT_FALSE(shaken_hands_);
}

}  // namespace
}  // namespace steno
