#include "server/http/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace steno {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

class RoutesTest : public ::testing::Test {
 protected:
  std::variant<HttpReply, QueryJob> Ask(HttpRequest request) {
    request.client.name = "test";
    return Route(request, pages_, admission_, WallNs());
  }
  HttpReply Reply(HttpRequest request) {
    auto routed = Ask(std::move(request));
    if (std::holds_alternative<HttpReply>(routed)) return std::get<HttpReply>(routed);
    ADD_FAILURE() << "a query was accepted";
    return {};
  }

  std::vector<std::string> not_ready_;
  ServerStats stats_;
  ServerConfig config_;
  Admission admission_{config_, stats_, nullptr};
  ServerPages pages_{[] { return "a\t1\n"; }, [] { return "a 1\n"; }, [] { return "{}\n"; },
                     [this] { return not_ready_; }};
};

TEST_F(RoutesTest, QueriesByAnyMethodOnQuery) {
  for (const char* method : {"POST", "GET", "PUT", "BREW"}) {
    auto routed = Ask({.method = method, .target = "/query?x=1", .body = "port 80"});
    ASSERT_TRUE(std::holds_alternative<QueryJob>(routed)) << method;
    EXPECT_EQ(std::get<QueryJob>(routed).text, "port 80");
    EXPECT_EQ(std::get<QueryJob>(routed).client.name, "test");
  }
  EXPECT_TRUE(std::holds_alternative<QueryJob>(Ask({.method = "POST", .target = "/", .body = "port 80"})));
}

TEST_F(RoutesTest, LimitsAreRead) {
  const auto routed = Ask({.method = "POST",
                           .target = "/query",
                           .body = "port 80",
                           .limit_packets = "0x10",
                           .limit_bytes = "2147483648"});
  ASSERT_TRUE(std::holds_alternative<QueryJob>(routed));
  EXPECT_EQ(std::get<QueryJob>(routed).limits.packets, 16u);
  EXPECT_EQ(std::get<QueryJob>(routed).limits.bytes, 2147483648u);
}

TEST_F(RoutesTest, FormatsByParameterOrHeader) {
  const auto format = [&](const std::string& target, const std::string& accept) {
    auto routed = Ask({.method = "POST", .target = target, .body = "port 80", .accept = accept});
    EXPECT_TRUE(std::holds_alternative<QueryJob>(routed)) << target << " " << accept;
    return std::get<QueryJob>(routed).format;
  };
  EXPECT_EQ(format("/query", "*/*"), ResultFormat::kPcap);
  EXPECT_EQ(format("/query?format=pcap-ns", ""), ResultFormat::kPcapNs);
  EXPECT_EQ(format("/query?format=pcapng", "application/vnd.tcpdump.pcap"), ResultFormat::kPcapng);
  EXPECT_EQ(format("/query", "text/html, application/x-pcapng;q=0.5"), ResultFormat::kPcapng);
  EXPECT_EQ(format("/query", "application/vnd.tcpdump.pcap;resolution=ns"), ResultFormat::kPcapNs);
  EXPECT_EQ(format("/query", "application/vnd.tcpdump.pcap"), ResultFormat::kPcap);
  EXPECT_EQ(format("/query?format=json", ""), ResultFormat::kJson);
  EXPECT_EQ(format("/query?aggregate=time:60s", ""), ResultFormat::kJson);
  EXPECT_THAT(Reply({.method = "POST", .target = "/query?aggregate=colour", .body = "port 80"}).body,
              HasSubstr("aggregate=colour: expected address, port, protocol or time: and a duration"));
  const HttpReply reply = Reply({.method = "POST", .target = "/query?format=erf", .body = "port 80"});
  EXPECT_EQ(reply.status, 400u);
  EXPECT_THAT(reply.body, HasSubstr("format=erf: expected pcap, pcap-ns, pcapng or json"));
}

TEST_F(RoutesTest, ExplainTakesBodyOrParameter) {
  for (const HttpRequest& request :
       {HttpRequest{.method = "GET", .target = "/query/explain?query=port+80%20or%20443"},
        HttpRequest{.method = "POST", .target = "/query/explain", .body = "port 80 or 443"},
        HttpRequest{.method = "POST", .target = "/query/explain?query=tcp", .body = "port 80 or 443"}}) {
    auto routed = Ask(request);
    ASSERT_TRUE(std::holds_alternative<QueryJob>(routed));
    EXPECT_TRUE(std::get<QueryJob>(routed).explain);
    EXPECT_EQ(ToString(*std::get<QueryJob>(routed).expression), "(port 80 or port 443)");
  }
  EXPECT_THAT(Reply({.method = "GET", .target = "/query/explain?query=port+x"}).body,
              HasSubstr("column 6: port x"));
  EXPECT_EQ(Reply({.method = "GET", .target = "/query/explain?query=%zz"}).status, 400u);
  EXPECT_EQ(Reply({.method = "GET", .target = "/query/explain"}).status, 400u);
}

TEST_F(RoutesTest, MetricsAreInPrometheusFormat) {
  const HttpReply reply = Reply({.method = "GET", .target = "/metrics"});
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "a 1\n");
  EXPECT_THAT(reply.content_type, StartsWith("text/plain; version=0.0.4"));
  EXPECT_EQ(Reply({.method = "POST", .target = "/metrics"}).status, 405u);
}

TEST_F(RoutesTest, WrongLimitsComeFirst) {
  const HttpReply reply =
      Reply({.method = "POST", .target = "/query", .body = "port 99999", .limit_packets = "-1"});
  EXPECT_EQ(reply.status, 400u);
  EXPECT_THAT(reply.body,
              StartsWith("Invalid Limit Headers: Steno-Limit-Packets: \"-1\": expected a whole number"));
  EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
}

TEST_F(RoutesTest, WrongQueriesSayWhere) {
  const HttpReply reply = Reply({.method = "POST", .target = "/query", .body = "port 65555"});
  EXPECT_EQ(reply.status, 400u);
  EXPECT_EQ(reply.body, "could not parse query: column 6: port 65555: a port is 0..65535\n");
  EXPECT_EQ(Reply({.method = "POST", .target = "/query"}).status, 400u);
  EXPECT_EQ(stats_.queries_invalid.load(), 2u);
}

TEST_F(RoutesTest, Pages) {
  EXPECT_EQ(Reply({.method = "GET", .target = "/debug/stats"}).body, "a\t1\n");
  EXPECT_EQ(Reply({.method = "GET", .target = "/debug/config"}).content_type, "application/json");
  EXPECT_EQ(Reply({.method = "GET", .target = "/healthz"}).body, "ok\n");
  EXPECT_EQ(Reply({.method = "GET", .target = "/readyz"}).status, 200u);
  not_ready_ = {"first reason", "second reason"};
  const HttpReply reply = Reply({.method = "GET", .target = "/readyz"});
  EXPECT_EQ(reply.status, 503u);
  EXPECT_EQ(reply.body, "first reason\nsecond reason\n");
}

TEST_F(RoutesTest, UnknownPathsAndMethods) {
  const HttpReply missing = Reply({.method = "GET", .target = "/favicon.ico"});
  EXPECT_EQ(missing.status, 404u);
  EXPECT_THAT(missing.body, HasSubstr("/query, /query/explain, /status, /metrics"));
  const HttpReply get = Reply({.method = "GET", .target = "/"});
  EXPECT_EQ(get.status, 405u);
  EXPECT_THAT(get.headers, ElementsAre(Pair("Allow", "POST")));
  EXPECT_EQ(Reply({.method = "POST", .target = "/healthz"}).status, 405u);
}

}  // namespace
}  // namespace steno
