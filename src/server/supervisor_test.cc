// A shell script stands in for stenotype: what is tested is how it is started, watched, restarted and
// stopped.
#include "server/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "base/restart_backoff.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

bool WaitUntil(const std::function<bool()>& condition, int seconds = 10) {
  for (const int64_t end = MonotonicNs() + seconds * kNsPerSecond; MonotonicNs() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorOptions Options(const std::string& script) {
    const std::string path = temp_.path() + "/stenotype";
    std::ofstream(path) << "#!/bin/sh\nLOG=" << temp_.path() << "/log\n" << script;
    ::chmod(path.c_str(), 0755);
    SupervisorOptions options;
    options.stenotype_path = path;
    options.interface = "lo";
    options.flags = {"-v", "--blocks=9"};
    options.directories = {{temp_.path() + "/a/packets", temp_.path() + "/a/index"},
                           {temp_.path() + "/b/packets/", temp_.path() + "/b/index"}};
    options.on_arenas = [this](ArenaList arenas) {
      const std::lock_guard lock(mutex_);
      arenas_.push_back(std::move(arenas));
    };
    options.on_leftovers = [this] { ++leftovers_; };
    return options;
  }
  std::unique_ptr<Supervisor> Start(SupervisorOptions options) {
    auto supervisor = Supervisor::Prepare(std::move(options));
    EXPECT_TRUE(supervisor) << supervisor.error().message;
    (*supervisor)->Start();
    return std::move(*supervisor);
  }
  std::vector<std::string> Log() {
    std::ifstream file(temp_.path() + "/log");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  testing::TempDir temp_;
  std::mutex mutex_;
  std::vector<ArenaList> arenas_;
  std::atomic<int> leftovers_{0};
};

TEST_F(SupervisorTest, PassesFlagsLinksArenasAndLifeLine) {
  auto supervisor = Start(Options(R"sh(
    for a in "$@"; do echo "arg $a" >> $LOG; case $a in --dir=*) D=${a#--dir=};; --arena_fds=*) F=${a#--arena_fds=};; --parent_fd=*) P=${a#--parent_fd=};; esac; done
    for l in PKT0 IDX0 PKT1 IDX1; do echo "link $l $(readlink $D/$l)" >> $LOG; done
    for f in $(echo $F | tr , ' ') $P; do echo "fd $(readlink /proc/self/fd/$f | cut -d: -f1 | cut -d' ' -f1)" >> $LOG; done
    echo "stdin $(readlink /proc/self/fd/0)" >> $LOG
    echo ready >> $LOG
    exec sleep 100)sh"));
  ASSERT_TRUE(WaitUntil([&] {
    const auto log = Log();
    return !log.empty() && log.back() == "ready";
  }));
  const auto log = Log();
  EXPECT_THAT(log, AllOf(Contains("arg -v"), Contains("arg --blocks=9"), Contains("arg --threads=2"),
                         Contains("arg --iface=lo")));
  EXPECT_THAT(log, Contains(StartsWith("arg --dir=/tmp/stenographer")));
  EXPECT_THAT(log, AllOf(Contains("link PKT0 " + temp_.path() + "/a/packets"),
                         Contains("link IDX0 " + temp_.path() + "/a/index"),
                         Contains("link PKT1 " + temp_.path() + "/b/packets"),
                         Contains("link IDX1 " + temp_.path() + "/b/index")));
  EXPECT_THAT(log, Contains("stdin /dev/null"));
  EXPECT_EQ(std::count(log.begin(), log.end(), "fd pipe"), 1);
  EXPECT_EQ(
      std::count_if(log.begin(), log.end(), [](const auto& line) { return line.starts_with("fd /memfd"); }),
      2);
  EXPECT_TRUE(std::filesystem::is_directory(temp_.path() + "/a/packets")) << "created";

  const CaptureState state = supervisor->state();
  EXPECT_TRUE(state.running);
  EXPECT_EQ(state.starts, 1u);
  EXPECT_EQ(::kill(state.pid, 0), 0);
  std::string directory;
  for (const auto& line : log) {
    if (line.starts_with("arg --dir=")) directory = line.substr(10);
  }
  EXPECT_TRUE(std::filesystem::exists(directory));
  supervisor.reset();
  EXPECT_FALSE(std::filesystem::exists(directory)) << "links are removed";
  EXPECT_TRUE(std::filesystem::exists(temp_.path() + "/a/packets")) << "their targets are not";
  EXPECT_NE(::kill(state.pid, 0), 0) << "stopped";
}

TEST_F(SupervisorTest, RestartsAtOnceWithNewArenas) {
  auto supervisor =
      Start(Options("echo \"$(date +%s%N)\" >> $LOG\n[ $(wc -l < $LOG) -ge 2 ] || exit 3\nexec sleep 100\n"));
  ASSERT_TRUE(WaitUntil([&] { return Log().size() == 2; }));
  const auto log = Log();
  EXPECT_LT(std::stoll(log[1]) - std::stoll(log[0]), 200 * kNsPerMs);
  EXPECT_TRUE(WaitUntil([&] { return supervisor->state().starts == 2; }));
  const CaptureState state = supervisor->state();
  EXPECT_TRUE(state.running);
  EXPECT_EQ(state.last_exit, "exit status 3");
  EXPECT_EQ(leftovers_.load(), 1);
  const std::lock_guard lock(mutex_);
  ASSERT_EQ(arenas_.size(), 2u);
  ASSERT_EQ(arenas_[0].size(), 2u);
  EXPECT_NE(arenas_[0][0], arenas_[1][0]);
  EXPECT_EQ(state.arenas, arenas_[1]);
}

TEST_F(SupervisorTest, BacksOffFromOneThatKeepsCrashing) {
  auto supervisor = Start(Options("echo \"$(date +%s%N)\" >> $LOG\necho dying >&2\nkill -SEGV $$\n"));
  ASSERT_TRUE(WaitUntil([&] { return Log().size() >= 4; }));
  const auto log = Log();
  EXPECT_LT(std::stoll(log[1]) - std::stoll(log[0]), 200 * kNsPerMs);
  EXPECT_GT(std::stoll(log[2]) - std::stoll(log[1]), 250 * kNsPerMs);
  EXPECT_GT(std::stoll(log[3]) - std::stoll(log[2]), 500 * kNsPerMs);
  EXPECT_TRUE(WaitUntil([&] { return !supervisor->state().running; }));
  EXPECT_THAT(supervisor->state().last_exit, HasSubstr("signal 11"));
  EXPECT_THAT(NotReadyReasons(supervisor->state(), MonotonicNs()), ElementsAre(HasSubstr("signal 11")));
}

TEST_F(SupervisorTest, OneThatAsksForItIsStartedAtOnceHoweverOften) {
  ::testing::internal::CaptureStdout();
  auto supervisor = Start(Options("echo up >> $LOG\nsleep 0.6\nexit 75\n"));
  EXPECT_TRUE(WaitUntil([&] { return Log().size() >= 4; }));
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              AllOf(HasSubstr("exit status 75"), Not(HasSubstr("again and again"))));
}

TEST_F(SupervisorTest, OneThatAsksForItBeforeItHasRunWaitsLikeOneThatFails) {
  ::testing::internal::CaptureStdout();
  auto supervisor = Start(Options("echo up >> $LOG\nexit 75\n"));
  EXPECT_TRUE(WaitUntil([&] { return Log().size() >= 3; }));
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("again and again: starting it in 250 ms"));
}

TEST_F(SupervisorTest, WaitsForAnInterfaceThatDoesNotExist) {
  auto options = Options("echo up >> $LOG\nexit 1\n");
  options.interface = "no-such-if";
  auto supervisor = Start(std::move(options));
  ASSERT_TRUE(WaitUntil([&] { return supervisor->state().awaits_interface; }));
  EXPECT_THAT(NotReadyReasons(supervisor->state(), 0),
              ElementsAre("interface no-such-if: it does not exist; stenotype is started once it does"));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_EQ(Log().size(), 1u) << "once, for the message";
}

TEST_F(SupervisorTest, PassesItsPlaceAmongSeveral) {
  auto options = Options("for a in \"$@\"; do echo \"$a\" >> $LOG; done\nexec sleep 100\n");
  options.first_slot = 2;
  options.slots = 6;
  auto supervisor = Start(std::move(options));
  ASSERT_TRUE(WaitUntil([&] { return !Log().empty() && Log().back().starts_with("--parent_fd"); }));
  EXPECT_THAT(Log(), AllOf(Contains("--threads=2"), Contains("--first_slot=2"), Contains("--slots=6")));
}

TEST_F(SupervisorTest, KillsOneThatIgnoresTheRequestToStop) {
  auto options = Options("trap '' TERM\necho up >> $LOG\nwhile :; do sleep 0.05; done\n");
  options.stop_grace_ns = 200 * kNsPerMs;
  auto supervisor = Start(std::move(options));
  ASSERT_TRUE(WaitUntil([&] { return Log().size() == 1; }));
  const int64_t start = MonotonicNs();
  supervisor.reset();
  EXPECT_GT(MonotonicNs() - start, 150 * kNsPerMs);
  EXPECT_LT(MonotonicNs() - start, 2 * kNsPerSecond);
  EXPECT_EQ(leftovers_.load(), 1);
}

TEST_F(SupervisorTest, KillsOneThatHangs) {
  auto options = Options("echo up >> $LOG\nexec sleep 100\n");
  options.stall_ns = 300 * kNsPerMs;
  auto supervisor = Start(std::move(options));
  ASSERT_TRUE(WaitUntil([&] { return supervisor->state().starts >= 2; }));
  EXPECT_THAT(supervisor->state().last_exit, HasSubstr("signal 9"));
}

TEST_F(SupervisorTest, TellsWhenHiddenFilesMayHaveBeenLeft) {
  auto supervisor = Start(Options("echo up >> $LOG\nexec sleep 100\n"));
  ASSERT_TRUE(WaitUntil([&] { return supervisor->state().running; }));
  EXPECT_EQ(leftovers_.load(), 0);
  CaptureCounters& counters = supervisor->state().arenas[1]->counters();
  counters.disk_errno = EROFS;
  counters.disk_troubles = 1;
  counters.seal_failures = 1;
  ASSERT_TRUE(WaitUntil([&] { return leftovers_.load() >= 1; })) << "a file could not be published";
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const int before = leftovers_.load();
  counters.disk_errno = 0;
  ASSERT_TRUE(WaitUntil([&] { return leftovers_.load() > before; })) << "the disk is back";
  EXPECT_EQ(supervisor->state().starts, 1u);
}

TEST_F(SupervisorTest, SaysWhyTheProgramCannotBeStarted) {
  auto options = Options("exit 0\n");
  options.stenotype_path = temp_.path() + "/none";
  auto missing = Supervisor::Prepare(options);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, AllOf(HasSubstr("StenotypePath"), HasSubstr("No such file")));
  options.stenotype_path = temp_.path();
  auto directory = Supervisor::Prepare(options);
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("is not a file that this user may execute"));
}

TEST_F(SupervisorTest, AProgramOfNoFormatIsRetried) {
  auto options = Options("");
  std::ofstream(options.stenotype_path, std::ios::trunc) << "\x7f"
                                                            "ELF no";
  auto supervisor = Start(std::move(options));
  ASSERT_TRUE(WaitUntil([&] { return leftovers_.load() >= 2; }));
  EXPECT_THAT(NotReadyReasons(supervisor->state(), MonotonicNs()), ElementsAre(HasSubstr("not running")));
}

TEST(NotReadyReasonsTest, FollowsTheHeartbeats) {
  auto arena = Arena::Create(0);
  ASSERT_TRUE(arena);
  CaptureState state;
  state.interface = "em1";
  state.first_slot = 4;
  EXPECT_THAT(NotReadyReasons(state, 0), ElementsAre("interface em1: stenotype has not been started yet"));
  state.running = true;
  state.arenas = {std::make_shared<const Arena>(std::move(*arena))};
  EXPECT_THAT(NotReadyReasons(state, 0), ElementsAre("interface em1: capture thread 4 has not started yet"));
  state.arenas[0]->counters().heartbeat_ns = 100 * kNsPerSecond;
  EXPECT_THAT(NotReadyReasons(state, 101 * kNsPerSecond), IsEmpty());
  state.arenas[0]->counters().source_lost = 1;
  EXPECT_THAT(NotReadyReasons(state, 101 * kNsPerSecond),
              ElementsAre("interface em1: capture thread 4 gets no packets: the interface or peer is gone"));
  EXPECT_THAT(NotReadyReasons(state, 130 * kNsPerSecond),
              ElementsAre("interface em1: capture thread 4 has not moved for 30 s"));
}

TEST(NotReadyReasonsTest, TellsOfDiskTroubleInOneSentence) {
  auto arena = Arena::Create(0);
  ASSERT_TRUE(arena);
  CaptureState state;
  state.interface = "em1";
  state.running = true;
  state.arenas = {std::make_shared<const Arena>(std::move(*arena))};
  state.directories = {"/data/pkt0"};
  CaptureCounters& counters = state.arenas[0]->counters();
  counters.heartbeat_ns = 100 * kNsPerSecond;
  counters.disk_errno = ENOSPC;
  counters.disk_trouble_since_ns = uint64_t{1'767'225'600} * kNsPerSecond + 5;
  counters.disk_trouble_drops = 42;
  const int64_t now = 101 * kNsPerSecond;
  EXPECT_THAT(
      NotReadyReasons(state, now),
      ElementsAre(
          "interface em1: capture thread 0 cannot write to /data/pkt0: No space left on device, since "
          "2026-01-01T00:00:00Z; 42 packets were lost so far"));
  counters.disk_errno = kDiskStalled;
  EXPECT_THAT(NotReadyReasons(state, now), ElementsAre(HasSubstr("writes do not complete")));
  // Whatever another process may have put there.
  counters.disk_errno = UINT64_MAX;
  counters.disk_trouble_since_ns = UINT64_MAX;
  EXPECT_THAT(NotReadyReasons(state, now), ElementsAre(HasSubstr("unknown error")));
  counters.disk_errno = 0;
  EXPECT_THAT(NotReadyReasons(state, now), IsEmpty());
}

TEST(RestartBackoffTest, FirstAtOnceThenDoublingUpToHalfAMinute) {
  RestartBackoff backoff;
  std::vector<int64_t> delays_ms;
  for (int i = 0; i < 10; ++i) delays_ms.push_back(backoff.NextDelayNs(kNsPerSecond) / kNsPerMs);
  EXPECT_THAT(delays_ms, ElementsAre(0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000));
  EXPECT_EQ(backoff.NextDelayNs(61 * kNsPerSecond), 0) << "a long run starts anew";
  EXPECT_EQ(backoff.NextDelayNs(kNsPerSecond), RestartBackoff::kFirstDelayNs);
}

TEST(OwnerFromFlagsTest, ReadsNumbersAndNames) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  EXPECT_EQ(OwnerFromFlags({}).uid, -1);
  EXPECT_EQ(OwnerFromFlags({"--uid=1234", "--gid=99"}).uid, 1234);
  EXPECT_EQ(OwnerFromFlags({"--uid=1234", "--gid", "99"}).gid, 99);
  EXPECT_EQ(OwnerFromFlags({"--uid=root"}).uid, 0);
  EXPECT_EQ(OwnerFromFlags({"--uid=no-such-user-here"}).uid, -1);
}

}  // namespace
}  // namespace steno
