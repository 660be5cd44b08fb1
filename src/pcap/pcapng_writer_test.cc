#include "pcap/pcapng_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "pcap/pcap_reader.h"

namespace steno {
namespace {

const std::vector<uint8_t> kFrame = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0xaa};

class TextInput final : public ByteInput {
 public:
  explicit TextInput(std::string text) : text_(std::move(text)) {}
  Result<size_t> Read(std::span<uint8_t> into) override {
    const size_t bytes = std::min(into.size(), text_.size() - at_);
    std::copy_n(text_.data() + at_, bytes, into.data());
    at_ += bytes;
    return bytes;
  }

 private:
  std::string text_;
  size_t at_ = 0;
};

// The types of the blocks, by walking their lengths.
std::vector<uint32_t> BlockTypes(const std::string& bytes) {
  std::vector<uint32_t> types;
  size_t at = 0;
  while (at + 12 <= bytes.size()) {
    types.push_back(LoadLe<uint32_t>(bytes.data() + at));
    const auto length = LoadLe<uint32_t>(bytes.data() + at + 4);
    EXPECT_EQ(length % 4, 0u);
    if (length < 12 || length > bytes.size() - at) break;
    EXPECT_EQ(LoadLe<uint32_t>(bytes.data() + at + length - 4), length);
    at += length;
  }
  EXPECT_EQ(at, bytes.size());
  return types;
}

TEST(PcapngWriter, IsReadBack) {
  std::string out;
  AppendPcapngHeader(out);
  AppendPcapngInterface(out, {"eth0", "thread 0", 1, 96});
  AppendPcapngInterface(out, {"", "", 113, 0});
  const PcapRecord record{1'767'225'600'123'456'789, 300, kFrame, {}};
  AppendPcapngPacket(out, 1, record, "7 packets dropped before this one");
  AppendPcapngPacket(out, 0, {-5, 15, kFrame, {.present = true, .tci = 0xe00a, .tpid = 0x88a8}});
  AppendPcapngStatistics(out, 0, {record.time_ns, 1, 12});
  EXPECT_EQ(BlockTypes(out), (std::vector<uint32_t>{0x0a0d0d0a, 1, 1, 6, 6, 5}));
  EXPECT_NE(out.find("7 packets dropped before this one"), out.npos);

  const auto reader = OpenPcapInput(std::make_unique<TextInput>(out), "x");
  ASSERT_TRUE(reader) << reader.error().message;
  const auto first = (*reader)->Next();
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_NE(*first, nullptr);
  EXPECT_EQ((*first)->time_ns, record.time_ns);
  EXPECT_EQ((*first)->original_bytes, 300u);
  EXPECT_EQ((*first)->interface, 1u);
  EXPECT_EQ((*first)->link_type, 113u);
  EXPECT_EQ(std::vector<uint8_t>((*first)->frame.begin(), (*first)->frame.end()), kFrame);
  const auto second = (*reader)->Next();
  ASSERT_TRUE(second && *second != nullptr);
  EXPECT_EQ((*second)->time_ns, 0) << "there is no time before 1970";
  EXPECT_EQ((*second)->link_type, 1u);
  ASSERT_EQ((*second)->frame.size(), kFrame.size() + 4);
  EXPECT_EQ((*second)->frame[12], 0x88);
  EXPECT_EQ((*second)->frame[15], 0x0a);
  const auto end = (*reader)->Next();
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(*end, nullptr);
}

}  // namespace
}  // namespace steno
