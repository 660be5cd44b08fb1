#include "capture/stream_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "capture/capture_fixture.h"
#include "capture/file_feed.h"
#include "storage/packet_view.h"
#include "testing/capture_bytes.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using testing::CaptureBytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr uint32_t kNanoseconds = 0xa1b23c4d;
constexpr uint32_t kBlockBytes = 16384;

// Does what a capture thread does with the blocks of a source: takes them in turn, notes what is in them, and
// gives them back.
class Taker {
 public:
  struct Packet {
    int64_t time_ns;
    uint32_t original_bytes;
    uint32_t interface_index;
    std::vector<uint8_t> frame;
  };

  explicit Taker(const std::vector<std::string>& paths, uint32_t blocks = 4, FilterProgram filter = {}) {
    auto feed = FileFeed::Open(paths);
    EXPECT_TRUE(feed) << feed.error().message;
    auto source = StreamSource::Create(
        {.block_bytes = kBlockBytes, .block_count = blocks, .filter = std::move(filter)}, std::move(*feed));
    EXPECT_TRUE(source) << source.error().message;
    source_ = std::move(*source);
  }

  // Until the source is exhausted.
  void TakeAll() {
    ASSERT_TRUE(source_->OpenGate());
    while (true) {
      const bool exhausted = source_->exhausted();
      if (TakeOne()) continue;
      if (exhausted) break;
      Wait(10'000);
    }
  }

  bool TakeOne() {
    if (!source_->OwnedByUser(next_)) return false;
    const auto memory = source_->Block(next_);
    const KernelBlockHeader header = ReadKernelHeader(memory);
    EXPECT_GT(header.packet_count, 0u);
    EXPECT_EQ(header.sequence, sequence_++);
    PacketWalk walk(memory.first(header.used_bytes), kFirstPacketOffset, header.used_bytes, 0);
    uint32_t count = 0;
    for (; const PacketView* packet = walk.Next(); ++count) {
      packets_.push_back({packet->time_ns,
                          packet->original_bytes,
                          packet->interface_index,
                          {packet->frame.begin(), packet->frame.end()}});
    }
    EXPECT_EQ(count, header.packet_count);
    EXPECT_TRUE(walk.status()) << walk.status().error().message;
    names_.emplace_back(source_->Origin(next_).name);
    source_->Return(next_);
    next_ = (next_ + 1) % source_->block_count();
    return true;
  }

  void Wait(int timeout_ms) const {
    pollfd wait{source_->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, timeout_ms), 1) << "nothing was handed over";
    uint64_t count = 0;
    ASSERT_EQ(::read(source_->fd(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  }

  [[nodiscard]] StreamSource& source() const { return *source_; }
  [[nodiscard]] const std::vector<Packet>& packets() const { return packets_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] std::vector<int64_t> Times() const {
    std::vector<int64_t> times;
    for (const Packet& packet : packets_) times.push_back(packet.time_ns);
    return times;
  }
  [[nodiscard]] std::string Outcome() const {
    const Status outcome = source_->outcome();
    return outcome ? "" : outcome.error().message;
  }

 private:
  std::unique_ptr<StreamSource> source_;
  uint32_t next_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Packet> packets_;
  std::vector<std::string> names_;  // by block
};

class StreamSourceTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) const {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  testing::TempDir dir_;
};

TEST_F(StreamSourceTest, ReadsClassicFilesOfEveryKind) {
  for (const bool big : {false, true}) {
    for (const uint32_t magic : {kMicroseconds, kNanoseconds}) {
      CaptureBytes out(big);
      out.FileHeader(magic);
      out.Record(0, 0, NumberedFrame(0)).Record(1'700'000'000, 999'999, NumberedFrame(1), 9000);
      out.Record(5, 1, NumberedFrame(2)).Record(UINT32_MAX, 7, NumberedFrame(3));
      Taker taker({Write("in.pcap", out.text())});
      taker.TakeAll();
      EXPECT_EQ(taker.Outcome(), "");
      const int64_t unit = magic == kMicroseconds ? 1000 : 1;
      EXPECT_THAT(taker.Times(),
                  ElementsAre(0, 1'700'000'000 * kNsPerSecond + 999'999 * unit, 5 * kNsPerSecond + unit,
                              int64_t{UINT32_MAX} * kNsPerSecond + 7 * unit));
      EXPECT_EQ(taker.packets()[1].original_bytes, 9000u);
      for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(taker.packets()[i].frame, NumberedFrame(i));
      EXPECT_THAT(taker.names(), ElementsAre("in.pcap"));
    }
  }
}

TEST_F(StreamSourceTest, ReadsPcapngOfSeveralInterfacesAndResolutions) {
  for (const bool big : {false, true}) {
    CaptureBytes out(big);
    const auto text = [](uint32_t number) {
      const auto frame = NumberedFrame(number);
      return std::string(frame.begin(), frame.end());
    };
    out.Section();
    out.Interface(1).Interface(1, out.Option(9, "\x09")).Interface(1, out.Option(9, "\x8a")).Interface(113);
    out.Enhanced(0, 1'000'001, text(0))
        .Enhanced(1, 2'000'000'003, text(1))
        .Enhanced(2, 3 * 1024 + 512, text(2));
    out.Enhanced(3, 5, "cooked")
        .Block(3, CaptureBytes(big).U32(static_cast<uint32_t>(text(4).size())).Raw(text(4)));
    out.Section().Interface(1).Enhanced(0, 7, text(5));
    Taker taker({Write("in.pcapng", out.text())});
    taker.TakeAll();
    EXPECT_EQ(taker.Outcome(), "");
    EXPECT_THAT(taker.Times(), ElementsAre(1'000'001'000, 2'000'000'003, 3'500'000'000, 0, 7000));
    const auto statistics = taker.source().ReadStatistics();
    EXPECT_EQ(statistics->packets, 5u);
    EXPECT_EQ(statistics->skipped, 1u);
  }
}

TEST_F(StreamSourceTest, AFullRingHoldsTheFileUp) {
  CaptureBytes out;
  out.FileHeader(kNanoseconds);
  constexpr uint32_t kFrames = 3000;
  for (uint32_t i = 0; i < kFrames; ++i) out.Record(i, i, NumberedFrame(i));
  Taker taker({Write("in.pcap", out.text())}, 2);
  ASSERT_TRUE(taker.source().OpenGate());
  SleepMs(300);  // both blocks are full long before
  EXPECT_FALSE(taker.source().exhausted());
  EXPECT_THAT(taker.packets(), IsEmpty());
  while (taker.packets().size() < kFrames) {
    if (!taker.TakeOne()) taker.Wait(10'000);
  }
  for (uint32_t i = 0; i < kFrames; ++i) ASSERT_EQ(taker.packets()[i].frame, NumberedFrame(i));
  EXPECT_GE(taker.source().ReadStatistics()->freezes, 1u);
}

TEST_F(StreamSourceTest, BlocksAreNotSharedByFilesAndKeepTheirNames) {
  const auto one = [](uint32_t number) {
    return CaptureBytes().FileHeader(kMicroseconds).Record(1, 1, NumberedFrame(number)).text();
  };
  const std::string empty = Write("none.pcap", CaptureBytes().FileHeader(kMicroseconds).text());
  Taker taker({Write("a", one(1)), empty, Write("b.pcap", one(2))});
  taker.TakeAll();
  EXPECT_EQ(taker.Outcome(), "");
  EXPECT_THAT(taker.names(), ElementsAre("a", "b.pcap"));
  ASSERT_THAT(taker.packets(), SizeIs(2));
  EXPECT_EQ(taker.packets()[0].interface_index, 1u);
  EXPECT_EQ(taker.packets()[1].interface_index, 3u);
}

TEST_F(StreamSourceTest, APausingPipeIsHandedOverInTime) {
  const std::string path = dir_.path() + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Taker taker({path});  // does not wait for a writer
  ASSERT_TRUE(taker.source().OpenGate());
  SleepMs(50);
  std::ofstream pipe(path, std::ios::binary);
  const std::string record = CaptureBytes().Record(1, 2, NumberedFrame(1)).text();
  pipe << CaptureBytes().FileHeader(kMicroseconds).text() << record << record.substr(0, 20) << std::flush;
  taker.Wait(10'000);
  EXPECT_TRUE(taker.TakeOne());
  EXPECT_THAT(taker.packets(), SizeIs(1));
  pipe << record.substr(20) << std::flush;
  taker.Wait(10'000);
  EXPECT_TRUE(taker.TakeOne());
  EXPECT_FALSE(taker.source().exhausted());
  pipe.close();
  taker.Wait(10'000);
  EXPECT_TRUE(taker.source().exhausted());
  EXPECT_THAT(taker.packets(), SizeIs(2));
  EXPECT_EQ(taker.Outcome(), "");
}

TEST_F(StreamSourceTest, ClosingTheGateEndsAWaitingReaderWithWhatItHas) {
  const std::string path = dir_.path() + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Taker taker({path});
  ASSERT_TRUE(taker.source().OpenGate());
  std::ofstream pipe(path, std::ios::binary);
  pipe << CaptureBytes().FileHeader(kMicroseconds).Record(1, 2, NumberedFrame(1)).text() << std::flush;
  taker.Wait(10'000);
  ASSERT_TRUE(taker.source().CloseGate());
  taker.TakeOne();
  taker.Wait(10'000);  // for the end
  EXPECT_TRUE(taker.source().exhausted());
  while (taker.TakeOne()) {
  }
  EXPECT_THAT(taker.packets(), SizeIs(1));
  EXPECT_EQ(taker.Outcome(), path + ": stopped before its end");
  EXPECT_EQ(taker.source().outcome().error().code, ErrorCode::kCancelled);
}

TEST_F(StreamSourceTest, DamageIsNamedAfterWhatCameBeforeAndTheNextFileIsRead) {
  CaptureBytes good;
  good.FileHeader(kMicroseconds).Record(1, 0, NumberedFrame(1));
  const std::string cut = good.text() + CaptureBytes().Record(2, 0, NumberedFrame(2)).text().substr(0, 30);
  const std::string path = Write("cut.pcap", cut);
  Taker taker({path, Write("good.pcap", good.text())});
  taker.TakeAll();
  EXPECT_THAT(taker.packets(), SizeIs(2));
  EXPECT_THAT(taker.Outcome(), HasSubstr(path + ": byte " + std::to_string(good.text().size() + 16)));

  Taker two({path, Write("text", "no capture at all"), Write("empty", "")});
  two.TakeAll();
  EXPECT_THAT(two.packets(), SizeIs(1));
  EXPECT_THAT(two.Outcome(), HasSubstr("3 of 3 files were not read to their end; the first: " + path));
}

TEST_F(StreamSourceTest, OtherLinkTypesAreLeftOutAndNothingElseIsAnError) {
  CaptureBytes cooked;
  cooked.FileHeader(kMicroseconds, 113).Record(1, 0, NumberedFrame(1)).Record(2, 0, NumberedFrame(2));
  Taker taker({Write("cooked.pcap", cooked.text())});
  taker.TakeAll();
  EXPECT_THAT(taker.packets(), IsEmpty());
  EXPECT_THAT(taker.Outcome(), HasSubstr("2 packets of link type 113: expected Ethernet (link type 1)"));
  EXPECT_EQ(taker.source().ReadStatistics()->skipped, 2u);
}

TEST_F(StreamSourceTest, AFrameLongerThanABlockIsCut) {
  CaptureBytes out;
  out.FileHeader(kMicroseconds).Record(1, 0, std::vector<uint8_t>(60'000, 5)).Record(2, 0, NumberedFrame(2));
  Taker taker({Write("in.pcap", out.text())});
  taker.TakeAll();
  ASSERT_THAT(taker.packets(), SizeIs(2));
  EXPECT_EQ(taker.packets()[0].frame, std::vector<uint8_t>(BlockFiller::MaxFrame(kBlockBytes), 5));
  EXPECT_EQ(taker.packets()[0].original_bytes, 60'000u);
  EXPECT_EQ(taker.packets()[1].frame, NumberedFrame(2));
}

TEST_F(StreamSourceTest, TimesThatABlockCannotHoldAreLimited) {
  CaptureBytes out;
  out.Section()
      .Interface(1, out.Option(14, out.Seconds(-5)))
      .Interface(1, out.Option(14, out.Seconds(5'000'000'000)));
  out.Enhanced(0, 0, "before 1970").Enhanced(1, 1, "after 2106").Enhanced(0, 6'000'000, "between");
  Taker taker({Write("in.pcapng", out.text())});
  taker.TakeAll();
  EXPECT_EQ(taker.Outcome(), "");
  EXPECT_THAT(taker.Times(), ElementsAre(0, int64_t{UINT32_MAX} * kNsPerSecond + 999'999'999, kNsPerSecond));
}

TEST_F(StreamSourceTest, TheFilterDecides) {
  CaptureBytes out;
  out.FileHeader(kMicroseconds);
  for (uint32_t i = 0; i < 10; ++i) out.Record(i, 0, NumberedFrame(i));
  std::vector<uint8_t> arp = NumberedFrame(77);
  arp[13] = 0x06;
  out.Record(10, 0, arp);
  const auto only_arp = ParseFilterHex("002800000000000c001500010000080600060000000400000006000000000000");
  Taker taker({Write("in.pcap", out.text())}, 4, *only_arp);
  taker.TakeAll();
  ASSERT_THAT(taker.packets(), SizeIs(1));
  EXPECT_EQ(taker.packets()[0].frame, arp);
  EXPECT_EQ(taker.Outcome(), "");
}

TEST_F(StreamSourceTest, WhatCannotBeOpenedIsAnErrorAtOnce) {
  const auto message = [](const std::string& path) {
    const auto feed = FileFeed::Open({path});
    return feed ? "opened" : feed.error().message;
  };
  EXPECT_THAT(message(dir_.path() + "/gone"),
              HasSubstr("--read: open " + dir_.path() + "/gone: No such file"));
  EXPECT_THAT(message(dir_.path()), HasSubstr("is a directory: expected pcap or pcapng files"));
}

}  // namespace
}  // namespace steno
