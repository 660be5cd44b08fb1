#include "query/traffic_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "query/summary_json.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using testing::PacketBuilder;

constexpr int64_t kStart = 1'767'225'600 * kNsPerSecond;

void AddTo(TrafficSummary& summary, const std::string& from, uint16_t from_port, const std::string& to,
           uint16_t to_port, int64_t time_ns) {
  const auto frame = PacketBuilder().Ethernet().Ipv4(from, to).Tcp(from_port, to_port).Payload(10).Build();
  PacketView packet;
  packet.time_ns = time_ns;
  packet.original_bytes = 100;
  packet.frame = frame;
  summary.Add(packet);
}

// Both directions of one conversation, and one packet of another.
TrafficSummary Filled(const Grouping& grouping, size_t limit = 100) {
  TrafficSummary summary(grouping, limit);
  AddTo(summary, "10.0.0.1", 4000, "10.0.0.2", 80, kStart);
  AddTo(summary, "10.0.0.2", 80, "10.0.0.1", 4000, kStart + kNsPerSecond);
  AddTo(summary, "10.0.0.3", 80, "10.0.0.3", 80, kStart + 70 * kNsPerSecond);
  return summary;
}

nlohmann::json Json(const TrafficSummary& summary) { return nlohmann::json::parse(ToJson(summary)); }

TEST(TrafficSummaryTest, FlowsJoinBothDirections) {
  const auto json = Json(Filled({}));
  ASSERT_EQ(json["flows"].size(), 2u);
  const auto& flow = json["flows"][0];
  EXPECT_EQ(flow["packets"], 2);
  EXPECT_EQ(flow["bytes"], 200);
  EXPECT_EQ(flow["first"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(flow["last"], "2026-01-01T00:00:01Z");
  EXPECT_EQ(flow["ether_type"], 0x800);
  const auto& layer = flow["layers"].at(0);
  EXPECT_EQ(layer["protocol"], 6);
  EXPECT_EQ(layer["address_a"], "10.0.0.1");
  EXPECT_EQ(layer["port_a"], 4000);
  EXPECT_EQ(layer["address_b"], "10.0.0.2");
  EXPECT_EQ(layer["port_b"], 80);
  EXPECT_EQ(json["totals"]["packets"], 3);
  EXPECT_EQ(json["other"]["packets"], 0);
  EXPECT_TRUE(json["other"]["first"].is_null());
}

TEST(TrafficSummaryTest, APacketCountsOnceForAValue) {
  const auto ports = Json(Filled(*ParseGrouping("port")))["groups"];
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_EQ(ports[0]["port"], "80");
  EXPECT_EQ(ports[0]["packets"], 3);
  EXPECT_EQ(ports[1]["port"], "4000");
  EXPECT_EQ(ports[1]["packets"], 2);
  EXPECT_EQ(Json(Filled(*ParseGrouping("address")))["groups"].size(), 3u);
  EXPECT_EQ(Json(Filled(*ParseGrouping("protocol")))["groups"][0]["protocol"], "6");
}

TEST(TrafficSummaryTest, TimesAreMultiplesOfTheBucket) {
  const auto times = Json(Filled(*ParseGrouping("time:60s")))["groups"];
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[0]["time"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(times[0]["packets"], 2);
  EXPECT_EQ(times[1]["time"], "2026-01-01T00:01:00Z");
}

TEST(TrafficSummaryTest, GroupsBeyondTheLimitCountTogether) {
  const auto json = Json(Filled({}, 1));
  EXPECT_EQ(json["flows"].size(), 1u);
  EXPECT_EQ(json["other"]["packets"], 1);
  EXPECT_EQ(json["totals"]["packets"], 3);
}

TEST(TrafficSummaryTest, WrongGroupingsSayWhatIsExpected) {
  for (const char* text : {"", "colour", "time:", "time:0s", "time:x"}) {
    const auto grouping = ParseGrouping(text);
    ASSERT_FALSE(grouping) << text;
    EXPECT_THAT(grouping.error().message, HasSubstr("expected address, port, protocol or time:"));
  }
}

}  // namespace
}  // namespace steno
