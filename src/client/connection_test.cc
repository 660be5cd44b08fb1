#include "client/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using Kind = QueryOutcome::Kind;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// A server that reads one request from a Unix socket, answers with given bytes, and closes or waits for the
// client.
class CannedServer {
 public:
  enum class Then : uint8_t { kClose, kWait };

  explicit CannedServer(std::string answer, Then then = Then::kClose)
      : path_(directory_.path() + "/s"), answer_(std::move(answer)), then_(then) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener_.valid()) std::abort();
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    thread_ = std::jthread([this] { Serve(); });
  }
  ~CannedServer() { Stop(); }
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;

  [[nodiscard]] Endpoint endpoint() const { return {"http://localhost", path_}; }

  // What the client sent; ends the server.
  const std::string& Stop() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return request_;
  }

 private:
  void Serve() {
    const UniqueFd connection(::accept(listener_.get(), nullptr, nullptr));
    if (!connection.valid()) return;
    char buffer[4096];
    while (request_.find("END") == std::string::npos) {
      const ssize_t bytes = ::read(connection.get(), buffer, sizeof buffer);
      if (bytes <= 0) return;
      request_.append(buffer, static_cast<size_t>(bytes));
    }
    EXPECT_EQ(::send(connection.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(answer_.size()));
    while (then_ == Then::kWait && ::read(connection.get(), buffer, sizeof buffer) > 0) continue;
  }

  testing::TempDir directory_;
  std::string path_;
  std::string answer_;
  Then then_;
  std::string request_;
  UniqueFd listener_;
  std::jthread thread_;
};

struct StringSink : ResultSink {
  bool Write(std::span<const uint8_t> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.size() < enough;
  }
  bool WantsMore() override { return text.empty() || patience-- > 0; }

  std::string text;
  size_t enough = SIZE_MAX;
  int patience = 1'000'000;
};

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";

std::string Chunked(const std::string& trailers) {
  return std::string(kOk) + "Transfer-Encoding: chunked\r\nTrailer: Steno-Complete\r\n\r\n" +
         "5\r\nhello\r\n6\r\n world\r\n0\r\n" + trailers + "\r\n";
}

Result<QueryOutcome> Fetch(const CannedServer& server, ResultSink& sink,
                           const QueryRequest& request = {"port 80 END", {}, {}, 20}) {
  return FetchQuery({server.endpoint()}, "", request, sink);
}

TEST(Connection, SendsTheQueryAndItsLimits) {
  CannedServer server(Chunked(""));
  StringSink sink;
  ASSERT_TRUE(Fetch(server, sink, {"port 80 & \xc3\xa9 END", 6, 2048, 20}));
  const std::string& request = server.Stop();
  EXPECT_THAT(request, ::testing::StartsWith("POST /query HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Steno-Limit-Packets: 6\r\n"));
  EXPECT_THAT(request, HasSubstr("Steno-Limit-Bytes: 2048\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Expect")));
  EXPECT_THAT(request, EndsWith("\r\n\r\nport 80 & \xc3\xa9 END"));
}

TEST(Connection, NoLimitsNoHeaders) {
  CannedServer server(Chunked(""));
  StringSink sink;
  ASSERT_TRUE(Fetch(server, sink));
  EXPECT_THAT(server.Stop(), Not(HasSubstr("Steno-Limit")));
}

TEST(Connection, TrailersDecideWhetherTheResultIsWhole) {
  const std::vector<std::tuple<const char*, Kind, const char*>> cases = {
      {"", Kind::kComplete, ""},
      {"Steno-Packets: 3\r\nSteno-Complete: true\r\n", Kind::kComplete, ""},
      {"Steno-Complete: false\r\nSteno-Reason: limit-packets\r\n", Kind::kComplete, ""},
      {"Steno-Complete: false\r\nSteno-Reason: limit-bytes\r\n", Kind::kComplete, ""},
      {"Steno-Complete: false\r\nSteno-Reason: timeout\r\n", Kind::kIncomplete, "timeout"},
      {"steno-complete:false\r\nsteno-reason:  error: disk gone \r\n", Kind::kIncomplete, "error: disk gone"},
      {"Steno-Complete: false\r\n", Kind::kIncomplete, "the server gave no reason"},
  };
  for (const auto& [trailers, kind, text] : cases) {
    CannedServer server(Chunked(trailers));
    StringSink sink;
    const auto outcome = Fetch(server, sink);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->kind, kind) << trailers;
    EXPECT_EQ(outcome->text, text);
    EXPECT_EQ(sink.text, "hello world");
    EXPECT_EQ(outcome->bytes, 11U);
  }
}

TEST(Connection, AConnectionThatBreaksLeavesAnIncompleteResult) {
  const std::string whole = Chunked("Steno-Complete: true\r\n");
  for (const size_t cut : {whole.find("hello") + 3, whole.find(" world"), whole.find("0\r\nSteno")}) {
    CannedServer server(whole.substr(0, cut));
    StringSink sink;
    const auto outcome = Fetch(server, sink);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->kind, Kind::kIncomplete) << cut;
    EXPECT_NE(outcome->text, "");
    EXPECT_THAT("hello world", ::testing::StartsWith(sink.text));
  }
}

TEST(Connection, AnEmptySuccessIsIncomplete) {
  CannedServer server(std::string(kOk) + "Content-Length: 0\r\n\r\n");
  StringSink sink;
  const auto outcome = Fetch(server, sink);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Kind::kIncomplete);
}

TEST(Connection, ARefusalBringsTheServersTextAndNothingToTheSink) {
  const std::string text = "could not parse query: column 6: a port is 0..65535\n";
  CannedServer server("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: " +
                      std::to_string(text.size()) + "\r\n\r\n" + text);
  StringSink sink;
  const auto outcome = Fetch(server, sink);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Kind::kRefused);
  EXPECT_EQ(outcome->http_status, 400);
  EXPECT_EQ(outcome->text + "\n", text);
  EXPECT_EQ(sink.text, "");
}

TEST(Connection, ALongRefusalIsCut) {
  const std::string text(200'000, 'x');
  CannedServer server("HTTP/1.1 500 Oh\r\nContent-Length: 200000\r\n\r\n" + text);
  StringSink sink;
  const auto outcome = Fetch(server, sink);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->text.size(), 65536U);
}

TEST(Connection, TheSinkMayEndTheTransfer) {
  CannedServer server(Chunked("Steno-Complete: false\r\nSteno-Reason: timeout\r\n"));
  StringSink sink;
  sink.enough = 1;
  const auto outcome = Fetch(server, sink);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Kind::kStopped);
}

TEST(Connection, TheSinkIsAskedWhileTheServerIsSilent) {
  const std::string whole = Chunked("");
  CannedServer server(whole.substr(0, whole.find(" world")), CannedServer::Then::kWait);
  StringSink sink;
  sink.patience = 3;
  const int64_t start = MonotonicNs();
  const auto outcome = Fetch(server, sink);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Kind::kStopped);
  EXPECT_LT(MonotonicNs() - start, 10 * kNsPerSecond);
}

TEST(Connection, TimeRunsOut) {
  const std::string whole = Chunked("");
  {
    CannedServer server(whole.substr(0, whole.find(" world")), CannedServer::Then::kWait);
    StringSink sink;
    const auto outcome = Fetch(server, sink, {"END", {}, {}, 1});
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->kind, Kind::kIncomplete);
    EXPECT_THAT(outcome->text, HasSubstr("timed out"));
  }
  CannedServer server("", CannedServer::Then::kWait);
  StringSink sink;
  const auto outcome = Fetch(server, sink, {"END", {}, {}, 1});
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("no answer from unix:"));
  EXPECT_THAT(outcome.error().message, HasSubstr("timed out"));
}

TEST(Connection, TheNextEndpointIsAskedWhenOneCannotBeReached) {
  CannedServer server(Chunked(""));
  const testing::TempDir directory;
  StringSink sink;
  const auto outcome = FetchQuery({{"http://localhost", directory.path() + "/none"}, server.endpoint()}, "",
                                  {"END", {}, {}, 20}, sink);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(sink.text, "hello world");
}

TEST(Connection, AServerThatHangsUpIsNotAskedElsewhere) {
  CannedServer first("");
  CannedServer second(Chunked(""));
  StringSink sink;
  const auto outcome = FetchQuery({first.endpoint(), second.endpoint()}, "", {"END", {}, {}, 20}, sink);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("no answer from unix:"));
  EXPECT_EQ(second.Stop(), "");
}

TEST(Connection, SaysWhereAndWhyNoServerCouldBeReached) {
  const testing::TempDir directory;
  StringSink sink;
  const auto outcome =
      FetchQuery({{"http://localhost", directory.path() + "/none"}, {"https://127.0.0.1:1", ""}},
                 directory.path(), {"END", {}, {}, 20}, sink);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("cannot reach the server: unix:" + directory.path()));
  EXPECT_THAT(outcome.error().message, HasSubstr("No such file or directory; https://127.0.0.1:1: "));
  EXPECT_THAT(outcome.error().message, HasSubstr("cannot read " + directory.path() + "/client_key.pem"));
}

}  // namespace
}  // namespace steno
