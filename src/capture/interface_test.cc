// What a recorder gets from an interface, and how it fares with the interface's ups and downs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>

#include "base/bytes.h"
#include "base/file.h"
#include "capture/capture_fixture.h"
#include "capture/counter.h"
#include "capture/loss_watch.h"
#include "capture/recorder_fixture_test.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InterfaceTest : public RecorderTest {
 protected:
  // The numbers of what all threads recorded, sorted.
  [[nodiscard]] std::vector<uint32_t> AllNumbers(unsigned threads) const {
    std::vector<uint32_t> all;
    for (unsigned thread = 0; thread < threads; ++thread) {
      const std::vector<uint32_t> own = Numbers(thread);
      all.insert(all.end(), own.begin(), own.end());
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  void EmptyDirectories() const { RunCommand("rm -f " + dir_.path() + "/*/*"); }

  static std::string WhyNot(const CaptureOptions& options) {
    const auto recorder = Recorder::Start(options);
    return recorder ? "started" : recorder.error().message;
  }
};

// A numbered frame with a VLAN tag.
std::vector<uint8_t> Tagged(uint32_t number, uint16_t vlan) {
  std::vector<uint8_t> frame = NumberedFrame(number);
  const std::array<uint8_t, 4> tag{0x81, 0x00, static_cast<uint8_t>(vlan >> 8), static_cast<uint8_t>(vlan)};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

// A numbered frame of this protocol (6: TCP, 17: UDP) to this port.
std::vector<uint8_t> ToPort(uint32_t number, uint8_t protocol, uint16_t port) {
  std::vector<uint8_t> frame = NumberedFrame(number);
  frame[23] = protocol;
  StoreBe(&frame[36], port);
  return frame;
}

void SetVethMtu(unsigned bytes) {
  for (const char* name : {"veth-tx", "veth-rx"})
    RunCommand("ip link set " + std::string(name) + " mtu " + std::to_string(bytes));
}

// A frame of `bytes` that is a NumberedFrame as far as that goes.
std::vector<uint8_t> LongFrame(uint32_t number, size_t bytes) {
  std::vector<uint8_t> frame = NumberedFrame(number);
  const size_t from = frame.size();
  frame.resize(bytes);
  for (size_t at = from; at < bytes; ++at) frame[at] = static_cast<uint8_t>(at * 7);
  return frame;
}

std::string PromiscuityOf(const std::string& name) {
  const std::string path = ::testing::TempDir() + "/promiscuity" + std::to_string(::getpid());
  RunCommand("ip -d link show " + name + " | sed -n 's/.*promiscuity \\([0-9]*\\).*/\\1/p' > " + path);
  std::ifstream file(path);
  std::string text;
  file >> text;
  ::unlink(path.c_str());
  return text;
}

TEST_F(InterfaceTest, FilterExpressionsMeanWhatTheyMeanToTcpdump) {
  const std::vector<std::vector<uint8_t>> frames{NumberedFrame(0), Tagged(1, 5),      Tagged(2, 6),
                                                 ToPort(3, 6, 80), ToPort(4, 17, 80), ToPort(5, 6, 8080)};
  const std::vector<std::pair<std::string, std::vector<uint32_t>>> cases{
      {"vlan 5", {1}},  // though the kernel has taken the tag out of the frame
      {"not vlan", {0, 3, 4, 5}},
      {"vlan 6 and udp", {2}},
      {"tcp port 80", {3}},
      {"not port 80", {0, 1, 2, 5}},
      {"tcp[2:2] > 80 or udp port 80", {4, 5}},
      {"", {0, 1, 2, 3, 4, 5}}};
  for (const auto& [filter, expected] : cases) {
    SCOPED_TRACE(filter);
    RUN_IN_NAMESPACE(([&, filter = filter, expected = expected] {
      CaptureOptions options = Options();
      options.filter = filter;
      Record(options, [&](const Recorder&, const FrameSender& tx) {
        for (const auto& frame : frames) tx.Send(frame);
      });
      std::vector<uint32_t> numbers;
      for (const RecordedPacket& packet : NumberedPackets(Packets()))
        numbers.push_back(NumberOf(packet.frame));
      EXPECT_EQ(numbers, expected);
      EmptyDirectories();
    }));
  }
}

TEST_F(InterfaceTest, AFilterTakesJumboFramesWhole) {
  RUN_IN_NAMESPACE([this] {
    SetVethMtu(9000);
    const std::vector<uint8_t> jumbo = LongFrame(7, 9014);
    CaptureOptions options = Options();
    options.filter = "udp and greater 5000";
    Record(options, [&](const Recorder&, const FrameSender& tx) {
      tx.Send(NumberedFrame(1));
      tx.Send(jumbo);
    });
    const auto packets = NumberedPackets(Packets());
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].frame, jumbo);
  });
}

TEST_F(InterfaceTest, AFilterOnAnInterfaceThatIsDownIsCompiledUnlessItNeedsTheInterface) {
  RUN_IN_NAMESPACE([this] {
    RunCommand("ip link set veth-rx down");
    CaptureOptions options = Options();
    options.filter = "vlan 5";
    EXPECT_THAT(WhyNot(options), HasSubstr("--filter='vlan 5': interface veth-rx is needed to compile it"));
    options.filter = "udp";
    EXPECT_EQ(WhyNot(options), "started");
  });
}

TEST_F(InterfaceTest, WrongFiltersAreRefusedWithLibpcapsWords) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.filter = "tcp prot 80";
    EXPECT_THAT(WhyNot(options), HasSubstr("--filter='tcp prot 80': can't parse filter expression"));
    // Hexadecimal digits, but not a whole number of instructions.
    options.filter = "0006000";
    EXPECT_THAT(WhyNot(options), HasSubstr("--filter='0006000'"));
  });
}

TEST_F(InterfaceTest, SnaplenCutsWhatIsRecordedAndKeepsTheLength) {
  for (const char* filter : {"", "udp", "00060000ffffffff"}) {
    SCOPED_TRACE(filter);
    RUN_IN_NAMESPACE(([this, filter] {
      CaptureOptions options = Options();
      options.filter = filter;
      options.snaplen = 96;
      options.direction = Direction::kIn;
      const std::vector<uint8_t> sent = LongFrame(1, 1500);
      Record(options, [&](const Recorder&, const FrameSender& tx) {
        tx.Send(sent);
        tx.Send(NumberedFrame(0));  // 60 bytes
      });
      const auto files = ReadRecorded(Packets());
      ASSERT_EQ(files.size(), 1u);
      ASSERT_EQ(files[0].packets.size(), 2u);
      EXPECT_EQ(files[0].packets[0].frame, std::vector<uint8_t>(sent.begin(), sent.begin() + 96));
      EXPECT_EQ(files[0].packets[0].wire_bytes, 1500u);
      EXPECT_EQ(files[0].packets[1].frame, NumberedFrame(0));
      EXPECT_EQ(files[0].snaplen, 96u);
      EmptyDirectories();
    }));
  }
}

TEST_F(InterfaceTest, EveryFanoutTypeSharesThePacketsAndLosesNone) {
  for (const uint32_t type : {0U, 1U, 2U, 3U, 4U, 5U, kFanoutFlagRollover | 0U, kFanoutFlagRollover | 5U}) {
    SCOPED_TRACE(type);
    RUN_IN_NAMESPACE(([this, type] {
      constexpr uint32_t kFrames = 3000;
      CaptureOptions options = Options(2);
      options.fanout_type = type;
      Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, kFrames); });
      EXPECT_EQ(AllNumbers(2), Sequence(kFrames));
      // One CPU sends, over one queue: only these two types spread what comes from there.
      if (type == 1 || type == 4) {
        EXPECT_FALSE(Numbers(0).empty());
        EXPECT_FALSE(Numbers(1).empty());
      }
      EmptyDirectories();
    }));
  }
}

TEST_F(InterfaceTest, OneDirectionIsRecordedInsideAndOutsideAFanoutGroup) {
  constexpr uint32_t kEach = 500;
  for (const unsigned threads : {1U, 2U}) {
    for (const auto& [direction, first] : {std::pair{Direction::kIn, 0U}, {Direction::kOut, kEach}}) {
      SCOPED_TRACE(std::to_string(threads) + " threads, first " + std::to_string(first));
      RUN_IN_NAMESPACE(([this, threads, direction = direction, first = first] {
        CaptureOptions options = Options(threads);
        options.direction = direction;
        options.fanout_type = 1;  // lb: both threads get packets of both directions
        Record(options, [](const Recorder&, const FrameSender& tx) {
          tx.SendNumbered(0, kEach);
          FrameSender("veth-rx").SendNumbered(kEach, kEach);
        });
        std::vector<uint32_t> expected = Sequence(kEach);
        for (uint32_t& number : expected) number += first;
        EXPECT_EQ(AllNumbers(threads), expected);
        EmptyDirectories();
      }));
    }
  }
}

TEST_F(InterfaceTest, FramesOf64KiBAreRecordedWhole) {
  RUN_IN_NAMESPACE([this] {
    SetVethMtu(65535);
    const std::vector<uint8_t> largest = LongFrame(3, 65549);
    Record(Options(), [&](const Recorder&, const FrameSender& tx) {
      for (int i = 0; i < 50; ++i) tx.Send(largest);
    });
    const auto packets = NumberedPackets(Packets());
    ASSERT_EQ(packets.size(), 50u);
    for (const RecordedPacket& packet : packets) EXPECT_EQ(packet.frame, largest);
  });
}

TEST_F(InterfaceTest, PromiscuousModeEndsWithTheRecorder) {
  for (const bool promiscuous : {true, false}) {
    RUN_IN_NAMESPACE(([this, promiscuous] {
      CaptureOptions options = Options(2);
      options.promiscuous = promiscuous;
      Record(options, [&](const Recorder&, const FrameSender&) {
        EXPECT_EQ(PromiscuityOf("veth-rx"), promiscuous ? "2" : "0");
      });
      EXPECT_EQ(PromiscuityOf("veth-rx"), "0");
    }));
  }
}

TEST_F(InterfaceTest, AFanoutGroupGoesOnWhenItsInterfaceIsUpAgain) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options(2);
    options.fanout_type = 1;
    Record(options, [](const Recorder&, const FrameSender& tx) {
      tx.SendNumbered(0, 100);
      RunCommand("ip link set veth-rx down; ip link set veth-rx up");
      WaitUntilRunning("veth-tx");
      tx.SendNumbered(100, 100);
    });
    EXPECT_EQ(AllNumbers(2), Sequence(200));
    EXPECT_GT(Numbers(0).size(), 50u);
    EXPECT_GT(Numbers(1).size(), 50u);
  });
}

TEST_F(InterfaceTest, AFanoutGroupWhoseInterfaceIsReplacedEndsToBeStartedAgain) {
  RUN_IN_NAMESPACE([this] {
    const FrameSender tx("veth-tx");
    std::promise<void> started;
    std::thread operating([&] {  // begins before the recorder takes the capabilities of later threads
      started.get_future().wait();
      tx.SendNumbered(0, 100);
      SleepMs(200);
      RunCommand("ip link del veth-tx");
      SleepMs(1200);
      RunCommand(
          "ip link add veth-tx type veth peer name veth-rx && ip link set veth-tx up && ip link set veth-rx "
          "up");
    });
    auto recorder = Recorder::Start(Options(2));
    ASSERT_TRUE(recorder) << recorder.error().message;
    started.set_value();
    const Status ended = (*recorder)->Wait(-1);
    operating.join();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, ErrorCode::kStale);
    EXPECT_THAT(ended.error().message, HasSubstr("interface veth-rx"));
    EXPECT_EQ(AllNumbers(2), Sequence(100));
  });
}

TEST_F(InterfaceTest, UnsupportedInterfacesAreRefusedByName) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.interface_name = "any";
    EXPECT_THAT(WhyNot(options), HasSubstr("interface 'any': the packets of all interfaces together"));
    options.filter = "udp";
    options.interface_name = "nope";
    EXPECT_THAT(WhyNot(options), HasSubstr("interface 'nope' does not exist; there are: lo"));
  });
}

TEST_F(InterfaceTest, NicTimeStampsAreRefusedOrReplacedWhereThereAreNone) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.timestamp_source = TimestampSource::kNic;
    EXPECT_EQ(WhyNot(options),
              "--timestamp_source=nic: interface veth-rx: its driver has no hardware time stamps");
    options.timestamp_source = TimestampSource::kAuto;
    ::testing::internal::CaptureStdout();
    Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, 10); });
    EXPECT_THAT(::testing::internal::GetCapturedStdout(),
                HasSubstr("interface veth-rx: packets are stamped by the kernel's clock: its driver has no"));
    EXPECT_EQ(Numbers(), Sequence(10));
  });
}

TEST_F(InterfaceTest, ProcessesThatShareDirectoriesTakeNamesOfTheirOwn) {
  for (const unsigned slot : {0U, 2U}) {
    RUN_IN_NAMESPACE(([this, slot] {
      CaptureOptions options = Options();
      options.first_slot = slot;
      options.slots = 3;
      Record(options, [&](const Recorder&, const FrameSender& tx) { tx.SendNumbered(10 * slot, 10); });
    }));
  }
  std::map<uint64_t, uint16_t> thread_of;  // by the residue of the name
  for (const RecordedFile& file : ReadRecorded(Packets()))
    thread_of[std::stoull(file.name) % 3] = file.thread;
  EXPECT_EQ(thread_of, (std::map<uint64_t, uint16_t>{{0, 0}, {2, 2}}));
  ExpectComplete();
}

std::vector<Arena> OneArena() {
  std::vector<Arena> arenas;
  auto arena = Arena::Create(0);
  EXPECT_TRUE(arena);
  arenas.push_back(std::move(*arena));
  return arenas;
}

TEST(LossWatchTest, CountsWhatTheInterfaceDropped) {
  RUN_IN_NAMESPACE([] {
    const std::vector<Arena> arenas = OneArena();
    const CaptureCounters& counters = arenas[0].counters();
    LossWatch watch("veth-rx");
    watch.Look(arenas, kNsPerSecond);
    // Nobody takes frames of this kind: the kernel drops them and counts that as the interface's.
    std::vector<uint8_t> unknown = NumberedFrame(1);
    unknown[12] = 0x7f;
    const FrameSender tx("veth-tx");
    for (int i = 0; i < 25; ++i) tx.Send(unknown);
    SleepMs(50);
    ::testing::internal::CaptureStdout();
    watch.Look(arenas, 2 * kNsPerSecond);
    EXPECT_THAT(::testing::internal::GetCapturedStdout(),
                HasSubstr("interface veth-rx: 25 packets were dropped by its driver or the kernel"));
    EXPECT_EQ(ValueOf(counters.rx_dropped), 25u);
    watch.Look(arenas, 3 * kNsPerSecond);
    EXPECT_EQ(ValueOf(counters.rx_dropped), 25u);
    // A new interface of that name counts from 0.
    RunCommand(
        "ip link del veth-tx && ip link add veth-tx type veth peer name veth-rx && ip link set veth-tx up && "
        "ip link set veth-rx up");
    watch.Look(arenas, 4 * kNsPerSecond);
    EXPECT_EQ(ValueOf(counters.rx_dropped), 25u);
  });
}

TEST(LossWatchTest, WarnsOfFullRingsAtALimitedRate) {
  const std::vector<Arena> arenas = OneArena();
  LossWatch watch("lo");
  const auto look = [&](uint64_t drops, int64_t now_s) {
    SetTo(arenas[0].counters().ring_drops, drops);
    ::testing::internal::CaptureStdout();
    watch.Look(arenas, now_s * kNsPerSecond);
    return ::testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(look(0, 1), "");
  EXPECT_THAT(look(7, 2), HasSubstr("interface lo: packets were lost: 7 because rings were full"));
  EXPECT_EQ(look(9, 3), "") << "later, together with others";
  EXPECT_THAT(look(10, 13), HasSubstr("lost: 3 because rings were full"));
  EXPECT_EQ(look(10, 30), "");
}

TEST(LossWatchTest, TotalsThatBeginAnewCountFromZero) {
  LossTotal total;
  EXPECT_EQ(total.Growth(100), 0u) << "what was there before is nobody's";
  EXPECT_EQ(total.Growth(130), 30u);
  EXPECT_EQ(total.Growth(0), 0u);
  EXPECT_EQ(total.Growth(5), 5u);
}

TEST(LossWatchTest, ReadsTheSecondColumn) {
  EXPECT_EQ(SoftnetDrops("018fefa3 00000010 00000000\n000cec6c 00000002 00000000 00000000\n"), 18u);
  EXPECT_EQ(SoftnetDrops("\n018fefa3\n000cec6c zz\n"), 0u);
  EXPECT_EQ(SoftnetDrops(""), 0u);
}

}  // namespace
}  // namespace steno
