#include "query/result_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

const std::vector<uint8_t> kFrame = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0xaa};

PacketView Packet(int64_t time_ns) {
  PacketView packet;
  packet.time_ns = time_ns;
  packet.original_bytes = 15;
  packet.frame = kFrame;
  return packet;
}

PacketSource Source(size_t number, const std::string& name, uint16_t link_type, uint64_t drops_before = 0) {
  return {number, {name, 0, link_type, 0}, drops_before, drops_before};
}

TEST(ResultEncoderTest, ClassicFilesHaveOneLinkType) {
  ResultEncoder encoder(ResultFormat::kPcap);
  std::string out;
  ASSERT_TRUE(encoder.Add(Packet(1), Source(0, "tun0", 101), out));
  EXPECT_EQ(LoadLe<uint32_t>(out.data() + 20), 101u);
  const size_t before = out.size();
  const Status status = encoder.Add(Packet(2), Source(1, "eth0", 1), out);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("link types 101 and 1 do not go into one pcap file"));
  EXPECT_EQ(out.size(), before);
}

TEST(ResultEncoderTest, PcapngKeepsLinkTypesApart) {
  ResultEncoder encoder(ResultFormat::kPcapng);
  std::string out;
  ASSERT_TRUE(encoder.Add(Packet(1), Source(3, "tun0", 101), out));
  ASSERT_TRUE(encoder.Add(Packet(2), Source(1, "eth0", 1, 1), out));
  EXPECT_THAT(out, HasSubstr("1 packet dropped before this one"));
  const size_t before = out.size();
  ASSERT_TRUE(encoder.Add(Packet(3), Source(3, "tun0", 101), out));
  EXPECT_THAT(out.substr(before), ::testing::Not(HasSubstr("tun0"))) << "an interface is described once";
  // An interface without packets is named for its losses.
  encoder.Finish(std::vector{Source(1, "eth0", 1, 1), Source(4, "eth9", 1, 5)}, out);
  EXPECT_THAT(out, HasSubstr("eth9"));
}

TEST(ResultEncoderTest, EmptyResultsAreFiles) {
  for (const auto& [format, magic] : {std::pair{ResultFormat::kPcap, 0xa1b2c3d4u},
                                      {ResultFormat::kPcapNs, 0xa1b23c4du},
                                      {ResultFormat::kPcapng, 0x0a0d0d0au}}) {
    std::string out;
    ResultEncoder(format).Finish({}, out);
    ASSERT_GE(out.size(), 24u);
    EXPECT_EQ(LoadLe<uint32_t>(out.data()), magic);
  }
}

TEST(PacketSourcesTest, DropsAreToldOnceAndInTime) {
  PacketSources sources;
  const size_t eth0 = sources.Find({"eth0", 0, 1, 0});
  const size_t eth1 = sources.Find({"eth1", 1, 1, 0});
  EXPECT_NE(eth0, eth1);
  EXPECT_EQ(sources.Find({"eth0", 0, 1, 0}), eth0);
  sources.AddDrops(eth0, std::vector<DropMark>{{100, 3}, {200, 4}, {900, 5}});
  EXPECT_EQ(sources.ForPacket(eth0, 99).drops_before, 0u);
  EXPECT_EQ(sources.ForPacket(eth1, 300).drops_before, 0u);
  EXPECT_EQ(sources.ForPacket(eth0, 300).drops_before, 7u);
  EXPECT_EQ(sources.ForPacket(eth0, 301).drops_before, 0u);
  EXPECT_EQ(sources.All()[eth0].drops, 12u);
}

}  // namespace
}  // namespace steno
