#include "server/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include "base/clock.h"
#include "query/test_store.h"
#include "server/http/sockets.h"
#include "server/http/test_certificates.h"
#include "server/http/test_client.h"

namespace steno {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::kTestEpochNs;
using ::testing::StartsWith;
using testing::TestClient;
using testing::TestResponse;
using testing::TestStore;

bool WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return condition();
}

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() { std::signal(SIGPIPE, SIG_IGN); }

  void Start(HttpServerOptions options, unsigned slots = 4, int64_t timeout_ns = 30 * kNsPerSecond) {
    store_ = std::make_unique<Store>(std::vector{data_.directory()});
    queries_ = std::make_unique<QueryService>(*store_, QueryServiceOptions{slots, timeout_ns}, stats_);
    ServerPages pages{[] { return "oldest_timestamp\t1\n"; }, [] { return ""; }, [] { return "{}\n"; },
                      [] { return std::vector<std::string>{"stenotype is not running"}; }};
    auto server = HttpServer::Start(options, *queries_, admission_, std::move(pages));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  HttpServerOptions UnixOptions() {
    HttpServerOptions options;
    options.tls = false;
    options.unix_socket = data_.path() + "/socket";
    return options;
  }
  TestClient Connect() {
    TestClient client = TestClient::Unix(data_.path() + "/socket");
    EXPECT_TRUE(client.connected());
    return client;
  }
  // More than a session and its socket buffer.
  void AddLargeFile() { data_.AddFile(kTestEpochNs, 20'000, 80, true, 1000); }

  TestStore data_;
  ServerStats stats_;
  Admission admission_{ServerConfig{}, stats_, nullptr};
  std::unique_ptr<Store> store_;
  std::unique_ptr<QueryService> queries_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, EmptyResultsAndTrailers) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  const TestResponse response = client.Query("port 81");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.size(), 24u);
  EXPECT_EQ(response.headers.at("content-type"), "application/octet-stream");
  EXPECT_EQ(response.headers.at("trailer"),
            "Steno-Packets, Steno-Bytes, Steno-Problems, Steno-Drops, Steno-Complete, Steno-Reason");
  EXPECT_EQ(response.trailers.at("steno-complete"), "true");
  EXPECT_EQ(response.trailers.at("steno-packets"), "0");
  EXPECT_EQ(response.trailers.at("steno-bytes"), "24");
  EXPECT_FALSE(response.trailers.contains("steno-reason"));
}

TEST_F(HttpServerTest, ExplainsAQuery) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  const TestResponse response = client.Get("/query/explain?query=tcp%5B13%5D=2+or+port+80");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-type"), "application/json");
  EXPECT_EQ(response.trailers.at("steno-complete"), "true");
  EXPECT_THAT(response.body, HasSubstr("\"query\": \"(tcp[13] = 2 or port 80)\""));
  EXPECT_THAT(response.body, HasSubstr("\"to_read\": 1"));
  EXPECT_EQ(client.Get("/query/explain?query=port").status, 400);
  EXPECT_EQ(client.Query("port 80").trailers.at("steno-packets"), "10");
}

TEST_F(HttpServerTest, KeepsTheConnectionForFurtherRequests) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  EXPECT_EQ(client.Query("port 80").trailers.at("steno-packets"), "10");
  EXPECT_EQ(client.Query("port 99999").status, 400);
  EXPECT_EQ(client.Get("/healthz").body, "ok\n");
  EXPECT_EQ(client.Query("port 80", "Steno-Limit-Packets: 3\r\n").trailers.at("steno-reason"),
            "limit-packets");
  EXPECT_EQ(stats_.connections_accepted.load(), 1u);
  // Two requests in one piece.
  ASSERT_TRUE(
      client.Send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: "
                  "close\r\n\r\n"));
  EXPECT_EQ(client.Read().status, 200);
  const TestResponse last = client.Read();
  EXPECT_EQ(last.status, 503);
  EXPECT_EQ(last.body, "stenotype is not running\n");
  EXPECT_FALSE(client.Fill()) << "closed as asked";
}

TEST_F(HttpServerTest, Refusals) {
  Start(UnixOptions());
  TestClient client = Connect();
  EXPECT_EQ(client.Query("port 65555").body,
            "could not parse query: column 6: port 65555: a port is 0..65535\n");
  EXPECT_THAT(client.Query("port 80", "Steno-Limit-Bytes: -5\r\n").body, StartsWith("Invalid Limit Headers"));
  EXPECT_EQ(client.Get("/nothing").status, 404);
  EXPECT_EQ(client.Ask("DELETE /debug/stats HTTP/1.1\r\nHost: x\r\n\r\n").status, 405);
  EXPECT_EQ(client.Get("/debug/stats").body, "oldest_timestamp\t1\n");
  EXPECT_EQ(client.Ask("\x16\x03\x01\x02 nonsense\r\n\r\n").status, 400);
}

TEST_F(HttpServerTest, BodiesAndHeadersAreBounded) {
  Start(UnixOptions());
  TestClient client = Connect();
  const TestResponse large = client.Query(std::string(70'000, ' '));
  EXPECT_EQ(large.status, 413);
  EXPECT_THAT(large.body, HasSubstr("at most 65536 bytes"));
  TestClient chunked = Connect();
  EXPECT_EQ(chunked
                .Ask("POST /query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" +
                     std::string(70'000, ' ') + "\r\n0\r\n\r\n")
                .status,
            413);
  TestClient headers = Connect();
  EXPECT_EQ(headers.Ask("GET /healthz HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n").status, 431);
  TestClient fits = Connect();
  EXPECT_EQ(fits.Query(std::string(65'000, ' ') + "port 80").status, 200);
}

TEST_F(HttpServerTest, ChunkedBodiesAndExpectContinue) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  EXPECT_EQ(client
                .Ask("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nport\r\n3\r\n "
                     "80\r\n0\r\n\r\n")
                .trailers.at("steno-packets"),
            "10");
  EXPECT_EQ(
      client.Ask("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n").status,
      100);
  EXPECT_EQ(client.Ask("port 80").trailers.at("steno-packets"), "10");
  TestClient large = Connect();
  EXPECT_EQ(
      large.Ask("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n").status,
      413);
}

TEST_F(HttpServerTest, OldClientsGetABodyUntilTheEnd) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  const TestResponse response = client.Ask("POST /query HTTP/1.0\r\nContent-Length: 7\r\n\r\nport 81");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.size(), 24u);
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
}

TEST_F(HttpServerTest, LargeResultsArriveWhole) {
  AddLargeFile();
  Start(UnixOptions());
  TestClient client = Connect();
  const TestResponse response = client.Query("port 80");
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.trailers.at("steno-packets"), "20000");
  EXPECT_EQ(response.trailers.at("steno-bytes"), std::to_string(response.body.size()));
  EXPECT_GT(response.body.size(), 20'000'000u);
}

TEST_F(HttpServerTest, AClientThatLeavesEndsItsQuery) {
  AddLargeFile();
  Start(UnixOptions());
  TestClient client = Connect();
  ASSERT_TRUE(client.Send("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 80"));
  ASSERT_TRUE(client.Fill());
  ASSERT_TRUE(WaitUntil([&] { return stats_.queries_running.load() == 1; }));
  const int64_t start = MonotonicNs();
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return stats_.queries_running.load() == 0; }));
  EXPECT_LT(MonotonicNs() - start, 100 * kNsPerMs);
  EXPECT_EQ(stats_.queries_cut.load(), 1u);
  EXPECT_EQ(Connect().Query("port 81").status, 200);
}

TEST_F(HttpServerTest, AllSlotsTakenIsSaidInTime) {
  AddLargeFile();
  HttpServerOptions options = UnixOptions();
  options.slot_wait = std::chrono::milliseconds(200);
  Start(options, /*slots=*/1);
  TestClient first = Connect();
  ASSERT_TRUE(first.Send("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 80"));
  ASSERT_TRUE(first.Fill());
  TestClient second = Connect();
  const TestResponse busy = second.Query("port 81");
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.headers.at("retry-after"), "5");
  EXPECT_EQ(second.Get("/healthz").status, 200) << "the connection is still good";
  first.Close();
  EXPECT_EQ(second.Query("port 81").status, 200);
  EXPECT_EQ(stats_.queries_refused.load(), 1u);
}

TEST_F(HttpServerTest, TheDeadlineIsSaidInTheTrailer) {
  AddLargeFile();
  Start(UnixOptions(), 1, 100 * kNsPerMs);
  TestClient client = Connect();
  ASSERT_TRUE(client.Send("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 80"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const TestResponse response = client.Read();
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.trailers.at("steno-complete"), "false");
  EXPECT_EQ(response.trailers.at("steno-reason"), "timeout");
}

TEST_F(HttpServerTest, StoppingTellsClientsAndIsQuick) {
  AddLargeFile();
  Start(UnixOptions());
  TestClient idle = Connect();
  TestClient active = Connect();
  ASSERT_TRUE(active.Send("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 80"));
  ASSERT_TRUE(active.Fill());
  const int64_t start = MonotonicNs();
  std::thread stop([&] { server_->Stop(); });
  const TestResponse response = active.Read();
  stop.join();
  EXPECT_LT(MonotonicNs() - start, 3 * kNsPerSecond);
  EXPECT_EQ(response.trailers.at("steno-reason"), "cancelled");
  EXPECT_FALSE(idle.Fill());
  EXPECT_FALSE(TestClient::Unix(data_.path() + "/socket").connected());
}

TEST_F(HttpServerTest, TheSocketFileIsPrivateAndReplaced) {
  Start(UnixOptions());
  struct stat info{};
  ASSERT_EQ(::stat((data_.path() + "/socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  EXPECT_FALSE(ListenUnix(data_.path() + "/socket", "")) << "in use";
  server_.reset();
  {
    auto stale = ListenUnix(data_.path() + "/socket", "");
    ASSERT_TRUE(stale);
  }
  EXPECT_TRUE(ListenUnix(data_.path() + "/socket", "")) << "left behind: replaced";
  EXPECT_FALSE(ListenUnix(data_.path() + "/packets", "")) << "not a socket";
  auto group = ListenUnix(data_.path() + "/other", "no-such-group-here");
  ASSERT_FALSE(group);
  EXPECT_THAT(group.error().message, HasSubstr("no-such-group-here"));
}

TEST_F(HttpServerTest, HeadIsAnsweredWithoutABody) {
  data_.AddFile(kTestEpochNs, 10, 80);
  Start(UnixOptions());
  TestClient client = Connect();
  ASSERT_TRUE(
      client.Send("HEAD /debug/stats HTTP/1.1\r\nHost: x\r\n\r\n"
                  "HEAD /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 80"
                  "HEAD /query HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nport 8x"));
  for (const char* expected : {"HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 400"}) {
    std::string line;
    ASSERT_TRUE(client.Line(line));
    EXPECT_THAT(line, StartsWith(expected));
    while (client.Line(line) && !line.empty()) {
    }
  }
  EXPECT_EQ(client.Get("/healthz").status, 200) << "no bytes of a body in between";
  EXPECT_EQ(stats_.queries_completed, 0u);
}

TEST_F(HttpServerTest, MetricsForEverybodyAndNothingElse) {
  data_.AddFile(kTestEpochNs, 10, 80);
  HttpServerOptions options = UnixOptions();
  auto probe = ListenTcp("127.0.0.1", 0);
  ASSERT_TRUE(probe);
  options.metrics_host = "127.0.0.1";
  options.metrics_port = *BoundPort(probe->get());
  probe->reset();
  Start(options);
  TestClient client = TestClient::Tcp(options.metrics_port);
  EXPECT_EQ(client.Get("/metrics").status, 200);
  EXPECT_EQ(client.Get("/healthz").status, 200);
  EXPECT_EQ(client.Get("/readyz").status, 503);
  for (const char* path : {"/debug/config", "/debug/stats", "/query", "/query/explain?query=port+80", "/"})
    EXPECT_EQ(client.Get(path).status, 404) << path;
  EXPECT_EQ(client.Query("port 80").status, 404);
}

class TlsServerTest : public HttpServerTest {
 protected:
  void SetUp() override {
    if (!testing::CanMakeCertificates()) GTEST_SKIP() << "needs the openssl program";
    certs_ = data_.path() + "/certs";
    std::filesystem::create_directory(certs_);
    Make("ca", "");
    Make("other_ca", "");
    Make("server", "ca");
    Make("client", "ca");
    Make("stranger", "other_ca");
    data_.AddFile(kTestEpochNs, 10, 80);
    HttpServerOptions options;
    options.port = 0;
    options.tls_files = FilesIn(certs_);
    Start(options);
  }
  void Make(const std::string& name, const std::string& authority) {
    testing::MakeCertificate(certs_, name, authority);
  }
  static TlsFiles FilesIn(const std::string& directory) {
    ServerConfig config;
    config.cert_path = directory;
    return TlsFilesOf(config);
  }
  bool Answers(const std::string& name, int version = TLS1_3_VERSION) {
    TestClient client = TestClient::Tcp(server_->port());
    return client.StartTls(certs_, name, version) && client.Get("/healthz").status == 200;
  }
  // A revocation list of `authority` with the certificate of `name`.
  std::string Revoke(const std::string& authority, const std::string& name) {
    const std::string path = certs_ + "/" + authority + ".crl";
    std::ofstream(certs_ + "/ca.cnf") << "[ca]\ndefault_ca=a\n[a]\ndatabase=" << certs_
                                      << "/index\ndefault_md=sha256\ndefault_crl_days=1\n";
    std::ofstream(certs_ + "/index");
    const std::string ca = "openssl ca -config " + certs_ + "/ca.cnf -cert " + certs_ + "/" + authority +
                           "_cert.pem -keyfile " + certs_ + "/" + authority + "_key.pem ";
    const std::string command = ca + "-revoke " + certs_ + "/" + name + "_cert.pem 2>/dev/null && " + ca +
                                "-gencrl -out " + path + " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return path;
  }

  std::string certs_;
};

TEST_F(TlsServerTest, RevokedCertificatesAreRefusedOnceTheListIsRead) {
  Make("leaver", "ca");
  TestClient open = TestClient::Tcp(server_->port());
  ASSERT_TRUE(open.StartTls(certs_, "leaver"));
  EXPECT_EQ(open.Get("/healthz").status, 200);
  TlsFiles files = FilesIn(certs_);
  files.revocation_list = Revoke("ca", "leaver");
  ASSERT_TRUE(server_->ReloadTls(files));
  EXPECT_TRUE(WaitUntil([&] { return !Answers("leaver"); }));
  EXPECT_TRUE(Answers("client"));
  EXPECT_EQ(open.Get("/healthz").status, 200) << "a connection that is open goes on";
  files.revocation_list = certs_ + "/none.crl";
  const Status reloaded = server_->ReloadTls(files);
  ASSERT_FALSE(reloaded);
  EXPECT_THAT(reloaded.error().message, HasSubstr("none.crl"));
  std::ofstream(files.revocation_list) << "nonsense";
  EXPECT_THAT(server_->ReloadTls(files).error().message, HasSubstr("Tls.RevocationList: "));
  EXPECT_FALSE(Answers("leaver")) << "after an error the last good settings hold";
}

TEST_F(TlsServerTest, ANewAuthorityAndAHigherVersionAreReloaded) {
  TlsFiles files = FilesIn(certs_);
  files.ca_cert = certs_ + "/other_ca_cert.pem";
  files.min_version = "1.3";
  ASSERT_TRUE(server_->ReloadTls(files));
  EXPECT_TRUE(WaitUntil([&] { return Answers("stranger"); }));
  EXPECT_FALSE(Answers("client"));
  EXPECT_FALSE(Answers("stranger", TLS1_2_VERSION));
}

TEST_F(TlsServerTest, AnswersClientsOfItsAuthority) {
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    TestClient client = TestClient::Tcp(server_->port());
    ASSERT_TRUE(client.StartTls(certs_, "client", version));
    EXPECT_EQ(client.Query("port 80").trailers.at("steno-packets"), "10");
    EXPECT_EQ(client.Query("port 81").body.size(), 24u);
  }
}

TEST_F(TlsServerTest, ChoosesTheFastestCipherThatTheClientHas) {
  const auto chosen = [&](const char* suites) {
    TestClient client = TestClient::Tcp(server_->port());
    EXPECT_TRUE(client.StartTls(certs_, "client", TLS1_3_VERSION, suites));
    return std::string(::SSL_get_cipher_name(client.ssl()));
  };
  EXPECT_EQ(chosen("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
            "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(chosen("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"), "TLS_AES_256_GCM_SHA384");
  EXPECT_EQ(chosen("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"), "TLS_CHACHA20_POLY1305_SHA256")
      << "a client without instructions for AES";
}

TEST_F(TlsServerTest, LargeResultsArriveWhole) {
  data_.AddFile(kTestEpochNs + 60 * kNsPerSecond, 20'000, 443, true, 1000);
  TestClient client = TestClient::Tcp(server_->port());
  ASSERT_TRUE(client.StartTls(certs_, "client"));
  const TestResponse response = client.Query("port 443");
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.trailers.at("steno-packets"), "20000");
}

TEST_F(TlsServerTest, RefusesOthersAndGoesOn) {
  for (const std::string name : {"", "stranger"}) {
    TestClient client = TestClient::Tcp(server_->port());
    // With TLS 1.3 the client learns of the refusal after its own handshake.
    const bool answered = client.StartTls(certs_, name) && client.Get("/healthz").status != 0;
    EXPECT_FALSE(answered) << name;
  }
  TestClient old = TestClient::Tcp(server_->port());
  EXPECT_FALSE(old.StartTls(certs_, "client", TLS1_1_VERSION));
  TestClient plain = TestClient::Tcp(server_->port());
  EXPECT_EQ(plain.Get("/healthz").status, 0) << "plain HTTP on the TLS port";
  EXPECT_GE(stats_.tls_failures.load(), 4u);
  TestClient good = TestClient::Tcp(server_->port());
  ASSERT_TRUE(good.StartTls(certs_, "client"));
  EXPECT_EQ(good.Get("/healthz").status, 200);
}

TEST_F(TlsServerTest, AClientThatLeavesEndsItsQuery) {
  data_.AddFile(kTestEpochNs + 60 * kNsPerSecond, 20'000, 443, true, 1000);
  TestClient client = TestClient::Tcp(server_->port());
  ASSERT_TRUE(client.StartTls(certs_, "client"));
  ASSERT_TRUE(client.Send("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nport 443"));
  ASSERT_TRUE(client.Fill());
  client.Close();
  EXPECT_TRUE(
      WaitUntil([&] { return stats_.queries_running.load() == 0 && stats_.queries_completed.load() == 1; }));
}

TEST_F(TlsServerTest, CurlSeesAGoodServer) {
  if (std::system("curl --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "needs the curl program";
  const std::string out = data_.path() + "/out";
  const std::string command = "curl --silent --show-error --fail --cert " + certs_ +
                              "/client_cert.pem --key " + certs_ + "/client_key.pem --cacert " + certs_ +
                              "/ca_cert.pem -d 'port 81' -o " + out +
                              " https://127.0.0.1:" + std::to_string(server_->port()) + "/query";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(std::filesystem::file_size(out), 24u);
}

TEST_F(TlsServerTest, WrongCertificatesAreNamedAtTheStart) {
  HttpServerOptions options;
  options.port = 0;
  options.tls_files = FilesIn(data_.path());
  auto missing = HttpServer::Start(options, *queries_, admission_, {});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message,
              HasSubstr("CertPath: server certificate " + data_.path() + "/server_cert.pem: No such file"));
  std::filesystem::copy_file(certs_ + "/client_key.pem", certs_ + "/server_key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  options.tls_files = FilesIn(certs_);
  auto mismatch = HttpServer::Start(options, *queries_, admission_, {});
  ASSERT_FALSE(mismatch);
  EXPECT_THAT(mismatch.error().message, HasSubstr("server_key.pem"));
}

}  // namespace
}  // namespace steno
