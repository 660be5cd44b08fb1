#include "pcap/pcap_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace steno {
namespace {

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }

const std::vector<uint8_t> kFrame = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0xaa};

TEST(PcapWriter, FileHeader) {
  std::string out = "x";
  AppendPcapFileHeader(out, PcapResolution::kMicroseconds, 1);
  EXPECT_THAT(Bytes(out), ::testing::ElementsAre('x', 0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0,
                                                 0, 0, 0, 4, 0, 1, 0, 0, 0));
  out.clear();
  AppendPcapFileHeader(out, PcapResolution::kNanoseconds, 113);
  EXPECT_EQ(out.size(), kPcapFileHeaderBytes);
  EXPECT_EQ(out.substr(0, 4), "\x4d\x3c\xb2\xa1");
  EXPECT_EQ(out[20], 113);
}

TEST(PcapWriter, RecordInBothResolutions) {
  const PcapRecord record{.time_ns = 5'123'456'789, .original_bytes = 300, .frame = kFrame, .tag = {}};
  std::string micro;
  AppendPcapRecord(micro, PcapResolution::kMicroseconds, record);
  EXPECT_EQ(micro.size(), kPcapRecordHeaderBytes + SizesOf(record).captured);
  EXPECT_THAT(Bytes(micro.substr(0, 16)),
              ::testing::ElementsAre(5, 0, 0, 0, 0x40, 0xe2, 1, 0, 15, 0, 0, 0, 44, 1, 0, 0));
  EXPECT_EQ(Bytes(micro.substr(16)), kFrame);
  std::string nano;
  AppendPcapRecord(nano, PcapResolution::kNanoseconds, record);
  EXPECT_THAT(Bytes(nano.substr(4, 4)), ::testing::ElementsAre(0x15, 0xcd, 0x5b, 0x07));
  EXPECT_EQ(nano.substr(8), micro.substr(8));
}

TEST(PcapWriter, PutsTheTagBack) {
  const PcapRecord record{.time_ns = 0,
                          .original_bytes = 15,
                          .frame = kFrame,
                          .tag = {.present = true, .tci = 0xe00a, .tpid = 0x88a8}};
  std::string out;
  AppendPcapRecord(out, PcapResolution::kMicroseconds, record);
  ASSERT_EQ(out.size(), kPcapRecordHeaderBytes + SizesOf(record).captured);
  EXPECT_THAT(Bytes(out.substr(8)), ::testing::ElementsAre(19, 0, 0, 0, 19, 0, 0, 0,               //
                                                           1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,  //
                                                           0x88, 0xa8, 0xe0, 0x0a, 0x08, 0x00, 0xaa));
}

TEST(PcapWriter, FrameCutInsideItsAddressesKeepsNoTag) {
  PcapRecord record{.time_ns = 0,
                    .original_bytes = 15,
                    .frame = std::span(kFrame).first(11),
                    .tag = {.present = true, .tci = 1, .tpid = 0x8100}};
  std::string out;
  AppendPcapRecord(out, PcapResolution::kMicroseconds, record);
  EXPECT_EQ(out.size(), kPcapRecordHeaderBytes + SizesOf(record).captured);
  EXPECT_EQ(out.size(), kPcapRecordHeaderBytes + 11);
  record.frame = std::span(kFrame).first(12);
  out.clear();
  AppendPcapRecord(out, PcapResolution::kMicroseconds, record);
  EXPECT_EQ(out.size(), kPcapRecordHeaderBytes + 16);
}

// No length that libpcap would refuse: at most the snap length of the file header, never above the original
// length.
TEST(PcapWriter, LengthsStayWithinTheFormat) {
  for (const bool tagged : {false, true}) {
    for (const size_t size : {size_t{kPcapSnaplen} - 4, size_t{kPcapSnaplen}, size_t{kPcapSnaplen} + 1000}) {
      const std::vector<uint8_t> large(size, 7);
      const PcapRecord record{.time_ns = -1, .original_bytes = 0, .frame = large, .tag = {.present = tagged}};
      std::string out;
      AppendPcapRecord(out, PcapResolution::kNanoseconds, record);
      ASSERT_EQ(out.size(), kPcapRecordHeaderBytes + SizesOf(record).captured);
      const size_t expected = std::min<size_t>(size + (tagged ? 4 : 0), kPcapSnaplen);
      EXPECT_EQ(out.size(), kPcapRecordHeaderBytes + expected);
      uint32_t lengths[2];
      std::memcpy(lengths, out.data() + 8, sizeof lengths);
      EXPECT_EQ(lengths[0], expected);
      EXPECT_EQ(lengths[1], expected);
      EXPECT_EQ(out.substr(0, 8), std::string(8, '\0')) << "times before 1970 become 0";
    }
  }
}

}  // namespace
}  // namespace steno
