// Real rings on veth pairs in a network namespace of the test's own. Each body runs in a child process.
#include "capture/recorder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <thread>

#include "capture/counter.h"
#include "capture/recorder_fixture_test.h"
#include "index/verify.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

TEST_F(RecorderTest, RecordsEveryPacketByteForByteOverSeveralFiles) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.file_mb = 2;
    constexpr uint32_t kFrames = 10'000;
    Record(options, [](const Recorder& recorder, const FrameSender& tx) {
      // With pauses, as sealing is given time on a real link: faster rotation leaves files without an index.
      for (uint32_t sent = 0; sent < kFrames; sent += 1000, SleepMs(150)) tx.SendNumbered(sent, 1000);
      EXPECT_EQ(ValueOf(recorder.counters(0).ring_drops), 0u);
    });
    EXPECT_EQ(Numbers(), Sequence(kFrames));
    EXPECT_GE(NamesIn(Packets()).size(), 4u);
    ExpectComplete();
    int64_t time_ns = 0;
    for (const RecordedPacket& packet : NumberedPackets(Packets())) {
      EXPECT_GE(packet.time_ns, time_ns);
      time_ns = packet.time_ns;
    }
    EXPECT_LT(std::abs(WallNs() - time_ns), 60 * kNsPerSecond);
  });
}

TEST_F(RecorderTest, WithoutIndexTheKernelsBlocksAreRecordedAsTheyAre) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.index = false;
    // More than one block, so that not all of them are small ones that are gathered.
    Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, 30'000); });
    EXPECT_EQ(Numbers(), Sequence(30'000));
    EXPECT_TRUE(NamesIn(Indexes()).empty());
    bool enclosing = false;
    for (const std::string& name : NamesIn(Packets())) {
      const auto table = PacketFile::Open(Packets() + "/" + name)->WalkBlocks();
      ASSERT_TRUE(table);
      for (const BlockEntry& block : table->blocks) enclosing |= block.flags == kEnclosingTimes;
      const auto report = VerifyFile(Packets() + "/" + name, Indexes() + "/" + name);
      ASSERT_TRUE(report) << report.error().message;
      EXPECT_TRUE(report->problems.empty()) << report->problems.front();
    }
    EXPECT_TRUE(enclosing);
  });
}

TEST_F(RecorderTest, EveryEngineRecordsTheSame) {
  for (const char* engine : {"io_uring", "libaio", "pwrite"}) {
    SCOPED_TRACE(engine);
    RUN_IN_NAMESPACE(([this, engine] {
      CaptureOptions options = Options();
      options.io_engine = engine;
      Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, 3000); });
      EXPECT_EQ(Numbers(), Sequence(3000));
      RunCommand("rm -f " + Packets() + "/* " + Indexes() + "/*");
    }));
  }
}

// Worker threads of the kernel mean that writes block inside of the kernel, or that something at the start
// did.
TEST_F(RecorderTest, IoUringNeedsNoWorkerThreads) {
  struct statfs info{};
  ASSERT_EQ(::statfs(dir_.path().c_str(), &info), 0);
  if (info.f_type != EXT4_SUPER_MAGIC) GTEST_SKIP() << "only ext4 is known to do without them";
  RUN_IN_NAMESPACE([this] {
    if (!MakeIoEngine({.kind = "io_uring", .queue_depth = 1})) return;
    CaptureOptions options = Options(2);
    options.io_engine = "io_uring";
    Record(options, [](const Recorder& recorder, const FrameSender& tx) {
      const auto stored = [&] {
        return ValueOf(recorder.counters(0).stored_packets) + ValueOf(recorder.counters(1).stored_packets);
      };
      for (uint32_t sent = 0; sent < 5000; sent += 500) tx.SendNumbered(sent, 500), SleepMs(20);
      for (int tries = 0; stored() < 5000 && tries < 500; ++tries) SleepMs(10);
      EXPECT_GE(stored(), 5000u);
      std::string threads;
      for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::ifstream comm(task.path() / "comm");
        std::getline(comm, name);
        threads += name + " ";
      }
      EXPECT_EQ(threads.find("iou-wrk"), std::string::npos) << threads;
    });
  });
}

TEST_F(RecorderTest, KeepsVlanTags) {
  RUN_IN_NAMESPACE([this] {
    Record(Options(), [](const Recorder&, const FrameSender& tx) {
      std::vector<uint8_t> frame = NumberedFrame(1);
      const std::vector<uint8_t> tag{0x81, 0x00, 0xa0, 0x7b};  // priority 5, VLAN 123
      frame.insert(frame.begin() + 12, tag.begin(), tag.end());
      tx.Send(frame);
    });
    const auto packets = NumberedPackets(Packets());
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].frame, NumberedFrame(1));
    EXPECT_TRUE(packets[0].tag.present);
    EXPECT_EQ(packets[0].tag.tci, 0xa07b);
    EXPECT_EQ(packets[0].tag.tpid, 0x8100);
  });
}

TEST_F(RecorderTest, ASilentLinkStopsSoonAndLeavesNothing) {
  RUN_IN_NAMESPACE([this] {
    EXPECT_LT(Record(Options(), [](const Recorder&, const FrameSender&) { SleepMs(300); }), 1500);
    EXPECT_TRUE(NamesIn(Packets()).empty());
    EXPECT_TRUE(NamesIn(Indexes()).empty());
  });
}

TEST_F(RecorderTest, ABusyLinkStopsSoonAndKeepsWhatCameBefore) {
  RUN_IN_NAMESPACE([this] {
    std::atomic<bool> sending{true};
    std::atomic<uint32_t> sent{0};
    std::thread sender;
    uint32_t before = 0;
    const FrameSender tx("veth-tx");
    const int64_t took_ms = Record(Options(), [&](const Recorder&, const FrameSender&) {
      sender = std::thread([&] {
        while (sending) {
          tx.SendNumbered(sent, 50);
          sent += 50;
          SleepMs(1);
        }
      });
      SleepMs(300);
      before = sent;
    });
    sending = false;
    sender.join();
    EXPECT_LT(took_ms, 2000);
    const auto numbers = Numbers();
    EXPECT_GE(numbers.size(), before);
    EXPECT_EQ(numbers, Sequence(static_cast<uint32_t>(numbers.size()))) << "a gap";
    ExpectComplete();
  });
}

TEST_F(RecorderTest, TwoThreadsShareThePackets) {
  RUN_IN_NAMESPACE([this] {
    constexpr uint32_t kFrames = 5000;
    Record(Options(2), [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, kFrames); });
    std::vector<uint32_t> numbers = Numbers(0);
    const std::vector<uint32_t> second = Numbers(1);
    EXPECT_FALSE(numbers.empty());
    EXPECT_FALSE(second.empty());
    numbers.insert(numbers.end(), second.begin(), second.end());
    std::sort(numbers.begin(), numbers.end());
    EXPECT_EQ(numbers, Sequence(kFrames));
    ExpectComplete(0);
    ExpectComplete(1);
  });
}

TEST_F(RecorderTest, ThreadsMayShareOneDirectory) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options(2);
    for (const char* name : {"PKT1", "IDX1"}) ASSERT_EQ(::rmdir((dir_.path() + "/" + name).c_str()), 0);
    ASSERT_EQ(::symlink(Packets(0).c_str(), Packets(1).c_str()), 0);
    ASSERT_EQ(::symlink(Indexes(0).c_str(), Indexes(1).c_str()), 0);
    constexpr uint32_t kFrames = 2000;
    Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, kFrames); });
    std::vector<uint32_t> numbers = Numbers(0);
    std::sort(numbers.begin(), numbers.end());
    EXPECT_EQ(numbers, Sequence(kFrames));
    ExpectComplete(0);
    EXPECT_EQ(NamesIn(Packets(0)).size(), 2u);
  });
}

TEST_F(RecorderTest, AQuietLinkIsGatheredAndSeenWithinItsTime) {
  RUN_IN_NAMESPACE([this] {
    auto arena = Arena::Create(0);
    ASSERT_TRUE(arena);
    CaptureOptions options = Options();
    options.arena_fds = {arena->fd()};
    Record(options, [&](const Recorder&, const FrameSender& tx) {
      for (uint32_t number = 0; number < 10; ++number, SleepMs(60)) tx.Send(NumberedFrame(number));
      SleepMs(1200);
      const auto snapshot = SegmentSnapshot::Take(arena->segment(0));
      ASSERT_TRUE(snapshot) << snapshot.error().message;
      uint32_t packets = 0;
      for (const LiveBlock& block : snapshot->blocks) packets += block.entry.packet_count;
      EXPECT_GE(packets, 10u);
    });
    EXPECT_EQ(Numbers(), Sequence(10));
    for (const RecordedPacket& packet : NumberedPackets(Packets())) EXPECT_TRUE(packet.gathered);
    const auto files = ReadRecorded(Packets());
    ASSERT_EQ(files.size(), 1u);
    EXPECT_LE(files[0].bytes, 3 * 16384u) << "ten packets in two or three gathered blocks";
    EXPECT_EQ(arena->header().pid.load(), static_cast<uint32_t>(::getpid()));
  });
}

TEST_F(RecorderTest, StopsAtThePacketLimitExactly) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    options.packet_limit = 123;
    const FrameSender tx("veth-tx");
    auto recorder = Recorder::Start(options);
    ASSERT_TRUE(recorder) << recorder.error().message;
    tx.SendNumbered(0, 1000);
    EXPECT_TRUE((*recorder)->Wait(-1));
    EXPECT_EQ(Numbers(), Sequence(123));
  });
}

TEST_F(RecorderTest, StopsWhenTheParentIsGone) {
  RUN_IN_NAMESPACE([this] {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    CaptureOptions options = Options();
    options.parent_fd = pipe[0];
    const FrameSender tx("veth-tx");
    auto recorder = Recorder::Start(options);
    ASSERT_TRUE(recorder) << recorder.error().message;
    tx.SendNumbered(0, 10);
    ::close(pipe[1]);
    EXPECT_TRUE((*recorder)->Wait(-1));
    EXPECT_EQ(Numbers(), Sequence(10));
  });
}

TEST_F(RecorderTest, RecordsOneDirectionOnRequest) {
  for (const auto& [direction, expected] : {std::pair{Direction::kIn, 1u}, {Direction::kOut, 2u}}) {
    RUN_IN_NAMESPACE(([this, direction = direction, expected = expected] {
      CaptureOptions options = Options(2);
      options.direction = direction;
      Record(options, [](const Recorder&, const FrameSender& tx) {
        tx.Send(NumberedFrame(1));
        FrameSender("veth-rx").Send(NumberedFrame(2));
      });
      std::vector<uint32_t> numbers = Numbers(0);
      const std::vector<uint32_t> second = Numbers(1);
      numbers.insert(numbers.end(), second.begin(), second.end());
      EXPECT_EQ(numbers, std::vector<uint32_t>{expected});
      for (const char* name : {"PKT0", "PKT1", "IDX0", "IDX1"})
        RunCommand("rm -f " + dir_.path() + "/" + name + "/*");
    }));
  }
}

TEST_F(RecorderTest, AppliesTheFilter) {
  RUN_IN_NAMESPACE([this] {
    CaptureOptions options = Options();
    // ldh [12]; jeq #0x806, take, drop: only ARP.
    options.filter =
        "002800000000000c0015000100000806"
        "00060000000400000006000000000000";
    Record(options, [](const Recorder&, const FrameSender& tx) {
      tx.SendNumbered(0, 50);
      std::vector<uint8_t> arp = NumberedFrame(77);
      arp[13] = 0x06;
      tx.Send(arp);
    });
    const auto files = ReadRecorded(Packets());
    ASSERT_EQ(files.size(), 1u);
    ASSERT_EQ(files[0].packets.size(), 1u);
    EXPECT_EQ(NumberOf(files[0].packets[0].frame), 77u);
  });
}

TEST_F(RecorderTest, WorksInItsSandbox) {
  // In a namespace that an ordinary user made there is nobody else to become.
  const bool root = ::geteuid() == 0;
  RUN_IN_NAMESPACE(([this, root] {
    CaptureOptions options = Options(2);
    options.seccomp = SeccompMode::kKill;
    if (root) RunCommand("chown -R nobody " + dir_.path());
    if (root) options.user = "nobody";
    Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, 2000); });
    EXPECT_EQ(Numbers(0).size() + Numbers(1).size(), 2000u);
    ExpectComplete(0);
    ExpectComplete(1);
  }));
}

TEST_F(RecorderTest, AnInterfaceThatGoesAndComesBackIsRecordedAgain) {
  RUN_IN_NAMESPACE([this] {
    Record(Options(), [](const Recorder&, const FrameSender& tx) {
      tx.SendNumbered(0, 10);
      RunCommand("ip link set veth-rx down; ip link set veth-rx up");
      WaitUntilRunning("veth-tx");
      tx.SendNumbered(10, 10);
      SleepMs(200);
      RunCommand("ip link del veth-tx");
      SleepMs(1200);
      RunCommand(
          "ip link add veth-tx type veth peer name veth-rx && ip link set veth-tx up && ip link set veth-rx "
          "up");
      WaitUntilRunning("veth-tx");
      SleepMs(1500);
      FrameSender("veth-tx").SendNumbered(20, 10);
    });
    EXPECT_EQ(Numbers(), Sequence(30));
  });
}

TEST_F(RecorderTest, SetUpErrorsSayWhatIsWrong) {
  RUN_IN_NAMESPACE([this] {
    const auto message = [](const CaptureOptions& options) {
      const auto recorder = Recorder::Start(options);
      return recorder ? "started" : recorder.error().message;
    };
    CaptureOptions options = Options();
    options.interface_name = "nope";
    EXPECT_NE(message(options).find("interface 'nope' does not exist; there are: lo"), std::string::npos)
        << message(options);
    options = Options();
    options.threads = 2;
    EXPECT_NE(message(options).find("PKT1: expected a directory"), std::string::npos) << message(options);
    options = Options();
    options.user = "no-such-user";
    EXPECT_NE(message(options).find("--uid=no-such-user"), std::string::npos) << message(options);
    options = Options();
    options.filter = "00";
    EXPECT_NE(message(options).find("--filter"), std::string::npos) << message(options);
    RunCommand("ip link add raw0 type ipip 2>/dev/null || ip tuntap add raw0 mode tun 2>/dev/null || true");
    if (::if_nametoindex("raw0") != 0) {
      options = Options();
      options.interface_name = "raw0";
      EXPECT_NE(message(options).find("hardware type"), std::string::npos) << message(options);
    }
  });
}

TEST_F(RecorderTest, LoopbackIsRecorded) {
  RUN_IN_NAMESPACE([this] {
    RunCommand("ip link set lo up");
    CaptureOptions options = Options();
    options.interface_name = "lo";
    options.direction = Direction::kIn;
    Record(options, [](const Recorder&, const FrameSender& tx) { tx.SendNumbered(0, 20); });
    EXPECT_EQ(Numbers(), Sequence(20));
  });
}

}  // namespace
}  // namespace steno
