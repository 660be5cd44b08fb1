// Shell scripts stand in for stenotype.
#include "server/capture_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

bool WaitUntil(const std::function<bool()>& condition) {
  for (const int64_t end = MonotonicNs() + 10 * kNsPerSecond; MonotonicNs() < end && !condition();)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return condition();
}

TEST(CaptureGroupTest, EachInterfaceHasItsOwnStenotypeAndItsSlots) {
  testing::TempDir temp;
  ServerConfig config;
  config.stenotype_path = temp.path() + "/stenotype";
  // Says how it was called; that of the second interface fails.
  std::ofstream(config.stenotype_path) << "#!/bin/sh\necho \"$@\" >> " << temp.path() << "/log\n"
                                       << "case \"$*\" in *--iface=wrong/*) exit 1;; esac\nexec sleep 100\n";
  ::chmod(config.stenotype_path.c_str(), 0755);
  config.interfaces = {"lo", "wrong/", "none0"};
  for (const char* name : {"a", "b"})
    config.threads.push_back({.packets_directory = temp.path() + "/" + name + "/p",
                              .index_directory = temp.path() + "/" + name + "/i"});
  EXPECT_THAT(SlotDirectories(config), SizeIs(6));

  Store store(SlotDirectories(config));
  std::atomic<int> exits{0};
  auto group = CaptureGroup::Prepare(config, store, [&] { ++exits; });
  ASSERT_TRUE(group) << group.error().message;
  (*group)->Start();
  const auto calls_of = [&](const std::string& interface) {
    std::ifstream file(temp.path() + "/log");
    std::vector<std::string> calls;
    for (std::string line; std::getline(file, line);) {
      if (line.find("--iface=" + interface + " ") != std::string::npos) calls.push_back(line);
    }
    return calls;
  };
  ASSERT_TRUE(WaitUntil([&] {
    return exits >= 2 && !calls_of("lo").empty() && !calls_of("none0").empty() &&
           (*group)->states()[0].running;
  })) << "the second one goes on being started";
  const std::vector<CaptureState> states = (*group)->states();
  ASSERT_THAT(states, SizeIs(3));
  EXPECT_TRUE(states[0].running);
  EXPECT_EQ(states[0].starts, 1u) << "not disturbed by the others";
  EXPECT_THAT(states[0].arenas, SizeIs(2));
  EXPECT_EQ(states[1].first_slot, 2u);
  EXPECT_THAT(NotReadyReasons(states, MonotonicNs()), Contains(HasSubstr("interface wrong/: stenotype")));

  EXPECT_THAT(calls_of("lo"), ElementsAre(HasSubstr("--first_slot=0 --slots=6")));
  EXPECT_THAT(calls_of("wrong/"), Each(HasSubstr("--first_slot=2 --slots=6")));
  EXPECT_THAT(calls_of("none0"), Contains(HasSubstr("--first_slot=4 --slots=6")));
  const int64_t begin = MonotonicNs();
  (*group)->Stop();
  EXPECT_LT(MonotonicNs() - begin, 5 * kNsPerSecond);
  for (const CaptureState& state : (*group)->states()) EXPECT_FALSE(state.running);
}

}  // namespace
}  // namespace steno
