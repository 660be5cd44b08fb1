// Whole recorders that read files and peers instead of an interface. Each body runs in a child process: a
// recorder gives up privileges for good.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "capture/capture_fixture.h"
#include "capture/counter.h"
#include "capture/recorder.h"
#include "storage/packet_file.h"
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

#define RUN_IN_CHILD(...)                                                                                    \
  do {                                                                                                       \
    if (const std::string reason = InNetworkNamespace(__VA_ARGS__); !reason.empty()) GTEST_SKIP() << reason; \
  } while (0)

class StreamRecorderTest : public ::testing::Test {
 protected:
  StreamRecorderTest() {
    for (const char* name : {"PKT0", "IDX0"}) std::filesystem::create_directory(dir_.path() + "/" + name);
  }

  [[nodiscard]] std::string Packets() const { return dir_.path() + "/PKT0"; }
  [[nodiscard]] std::string Indexes() const { return dir_.path() + "/IDX0"; }

  [[nodiscard]] CaptureOptions Options(const std::vector<std::string>& files) const {
    CaptureOptions options;
    options.directory = dir_.path();
    options.read_files = files;
    options.file_mb = 16;
    options.seccomp = SeccompMode::kNone;  // it holds for the test itself, too
    return options;
  }

  std::string Write(const std::string& name, const CaptureBytes& bytes) const {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes.text();
    return path;
  }

  // Runs to the end of the files; "" or the error.
  static std::string Run(const CaptureOptions& options) {
    auto recorder = Recorder::Start(options);
    if (!recorder) return recorder.error().message;
    const Status outcome = (*recorder)->Wait(-1);
    return outcome ? "" : outcome.error().message;
  }

  testing::TempDir dir_;
};

CaptureBytes Numbered(uint32_t first, uint32_t count, int64_t first_ns, int64_t step_ns) {
  CaptureBytes out;
  out.FileHeader(kNanoseconds);
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t time_ns = first_ns + i * step_ns;
    out.Record(static_cast<uint32_t>(time_ns / kNsPerSecond), static_cast<uint32_t>(time_ns % kNsPerSecond),
               NumberedFrame(first + i));
  }
  return out;
}

void WaitForPackets(const Recorder& recorder, uint64_t count) {
  for (int tries = 0; tries < 1000 && ValueOf(recorder.counters(0).stored_packets) < count; ++tries)
    SleepMs(10);
  ASSERT_EQ(ValueOf(recorder.counters(0).stored_packets), count);
}

TEST_F(StreamRecorderTest, FilesKeepEveryPacketAndTimeOverSeveralFilesInTheSandbox) {
  const bool root = ::geteuid() == 0;
  RUN_IN_CHILD(([this, root] {
    constexpr uint32_t kFrames = 20'000;
    constexpr int64_t kFirstNs = 1'000'000'000 * kNsPerSecond + 1;
    CaptureOptions options = Options({Write("in.pcap", Numbered(0, kFrames, kFirstNs, 123'457))});
    options.file_mb = 2;  // rotates faster than indexes are written: the file waits for them
    options.blocks = 8;
    options.seccomp = SeccompMode::kKill;
    if (root) RunCommand("chown -R nobody " + dir_.path() + " && chmod 600 " + options.read_files[0]);
    if (root) RunCommand("chown root " + options.read_files[0]);
    if (root) options.user = "nobody";
    ASSERT_EQ(Run(options), "");
    const auto packets = NumberedPackets(Packets());
    ASSERT_THAT(packets, SizeIs(kFrames));
    for (uint32_t i = 0; i < kFrames; ++i) {
      ASSERT_EQ(packets[i].frame, NumberedFrame(i));
      ASSERT_EQ(packets[i].time_ns, kFirstNs + i * int64_t{123'457});
      ASSERT_EQ(packets[i].interface, "in.pcap");
    }
    EXPECT_GE(NamesIn(Packets()).size(), 5u);
    EXPECT_EQ(NamesIn(Packets()), NamesIn(Indexes()));
    EXPECT_EQ(NamesIn(Packets())[0], "1000000000000000") << "named after the first packet";
  }));
}

TEST_F(StreamRecorderTest, FilesOfOneTimeAndOfNoneGetNamesOfTheirOwn) {
  RUN_IN_CHILD([this] {
    const std::string path = Write("in.pcap", Numbered(0, 100, 0, 0));
    for (int times = 0; times < 3; ++times) ASSERT_EQ(Run(Options({path})), "");
    EXPECT_THAT(NamesIn(Packets()), ElementsAre("1", "2", "3"));
    EXPECT_EQ(NamesIn(Packets()), NamesIn(Indexes()));
    EXPECT_THAT(NumberedPackets(Packets()), SizeIs(300));
  });
}

TEST_F(StreamRecorderTest, ReadsStandardInputAndStopsAtTheLimit) {
  RUN_IN_CHILD([this] {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::dup2(pipe[0], STDIN_FILENO), STDIN_FILENO);
    const std::string bytes = Numbered(0, 30, kNsPerSecond, 1).text();
    ASSERT_EQ(::write(pipe[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    CaptureOptions options = Options({"-"});
    options.packet_limit = 7;
    options.index = false;
    EXPECT_EQ(Run(options), "") << "though the pipe is still open";
    const auto packets = NumberedPackets(Packets());
    EXPECT_THAT(packets, SizeIs(7));
    EXPECT_EQ(packets.back().interface, "stdin");
    EXPECT_THAT(NamesIn(Indexes()), IsEmpty());
    // Packets of a stream have any times: each is looked at for those of its block.
    const auto table = PacketFile::Open(Packets() + "/" + NamesIn(Packets()).front())->WalkBlocks();
    ASSERT_TRUE(table);
    EXPECT_EQ(table->blocks.front().flags, 0u);
    EXPECT_EQ(table->blocks.front().last_ns - table->blocks.front().first_ns, 6);
  });
}

TEST_F(StreamRecorderTest, AStopBeforeTheEndIsToldAndKeepsWhatWasRead) {
  RUN_IN_CHILD([this] {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const std::string bytes = Numbered(0, 30, kNsPerSecond, 1).text();
    ASSERT_EQ(::write(pipe[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    const std::string path = "/proc/self/fd/" + std::to_string(pipe[0]);
    auto recorder = Recorder::Start(Options({path}));
    ASSERT_TRUE(recorder) << recorder.error().message;
    WaitForPackets(**recorder, 30);
    (*recorder)->RequestStop();
    const Status outcome = (*recorder)->Wait(-1);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().message, path + ": stopped before its end");
    EXPECT_THAT(NumberedPackets(Packets()), SizeIs(30));
  });
}

TEST_F(StreamRecorderTest, DamageIsTheOutcomeAndWhatCameBeforeIsKept) {
  RUN_IN_CHILD([this] {
    CaptureBytes bytes = Numbered(0, 5, kNsPerSecond, 1);
    const size_t sound = bytes.text().size();
    bytes.Raw("garbage and more of it");
    const std::string path = Write("cut.pcap", bytes);
    EXPECT_THAT(Run(Options({path})), HasSubstr(path + ": byte " + std::to_string(sound)));
    EXPECT_THAT(NumberedPackets(Packets()), SizeIs(5));
    EXPECT_EQ(NamesIn(Packets()), NamesIn(Indexes()));
  });
}

// A peer that sends what it is told to.
class Peer {
 public:
  explicit Peer(uint16_t port = 0) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 5), 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] std::string name() const { return "TCP@127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] UniqueFd Accept() const { return UniqueFd(::accept(listener_.get(), nullptr, nullptr)); }

  static void Send(const UniqueFd& to, const std::string& bytes) {
    EXPECT_EQ(::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }

 private:
  UniqueFd listener_;
  uint16_t port_ = 0;
};

TEST_F(StreamRecorderTest, APeerMayCloseAndComeBackAndBeSilentAtTheStop) {
  RUN_IN_CHILD([this] {
    RunCommand("ip link set lo up");
    auto peer = std::make_unique<Peer>();
    const uint16_t port = peer->port();
    CaptureOptions options = Options({});
    options.interface_name = peer->name();
    auto recorder = Recorder::Start(options);
    ASSERT_TRUE(recorder) << recorder.error().message;
    UniqueFd first = peer->Accept();
    const std::string bytes = Numbered(0, 10, kNsPerSecond, 1).text();
    Peer::Send(first, bytes.substr(0, bytes.size() - 7));  // the last packet is cut off
    WaitForPackets(**recorder, 9);
    first.reset();
    // Away for a while, then with another byte order, then with rubbish.
    peer.reset();
    SleepMs(700);
    peer = std::make_unique<Peer>(port);
    UniqueFd second = peer->Accept();
    Peer::Send(second, CaptureBytes(true).FileHeader(kMicroseconds).Record(1, 1, NumberedFrame(9)).text());
    WaitForPackets(**recorder, 10);
    second.reset();
    Peer::Send(peer->Accept(), "rubbish");
    const UniqueFd third = peer->Accept();
    Peer::Send(third, Numbered(10, 5, kNsPerSecond, 1).text() + "half a record");
    WaitForPackets(**recorder, 15);
    const int64_t start = MonotonicNs();
    (*recorder)->RequestStop();
    EXPECT_TRUE((*recorder)->Wait(-1));
    EXPECT_LT(MonotonicNs() - start, 2 * kNsPerSecond);
    const auto packets = NumberedPackets(Packets());
    ASSERT_THAT(packets, SizeIs(15));
    for (uint32_t i = 0; i < 15; ++i) EXPECT_EQ(packets[i].frame, NumberedFrame(i));
    EXPECT_EQ(packets[0].interface, options.interface_name.substr(0, 15));
  });
}

TEST_F(StreamRecorderTest, APeerThatIsNeverThereHoldsUpNeitherStartNorStop) {
  RUN_IN_CHILD([this] {
    RunCommand("ip link set lo up");
    CaptureOptions options = Options({});
    options.interface_name = "tcp@127.0.0.1:" + std::to_string(Peer().port());
    auto recorder = Recorder::Start(options);
    ASSERT_TRUE(recorder) << recorder.error().message;
    SleepMs(300);
    const int64_t start = MonotonicNs();
    (*recorder)->RequestStop();
    EXPECT_TRUE((*recorder)->Wait(-1));
    EXPECT_LT(MonotonicNs() - start, 2 * kNsPerSecond);
    EXPECT_THAT(NamesIn(Packets()), IsEmpty());
  });
}

}  // namespace
}  // namespace steno
