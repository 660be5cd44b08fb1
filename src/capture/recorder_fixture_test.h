// The fixture of tests that run whole recorders on veth pairs, each in a network namespace of its own. Tests
// only.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "capture/capture_fixture.h"
#include "capture/recorder.h"
#include "testing/temp_dir.h"

namespace steno {

// The body runs in a child process, in the namespace; skips the test where the kernel refuses one.
#define RUN_IN_NAMESPACE(...)                                                                                \
  do {                                                                                                       \
    if (const std::string reason = InNetworkNamespace(__VA_ARGS__); !reason.empty()) GTEST_SKIP() << reason; \
  } while (0)

class RecorderTest : public ::testing::Test {
 protected:
  CaptureOptions Options(unsigned threads = 1) {
    CaptureOptions options;
    options.directory = dir_.path();
    options.interface_name = "veth-rx";
    options.threads = threads;
    options.blocks = 16;
    options.file_mb = 16;
    options.seccomp = SeccompMode::kNone;
    for (unsigned thread = 0; thread < threads; ++thread) {
      for (const char* kind : {"PKT", "IDX"})
        std::filesystem::create_directories(dir_.path() + "/" + kind + std::to_string(thread));
    }
    return options;
  }

  [[nodiscard]] std::string Packets(unsigned thread = 0) const {
    return dir_.path() + "/PKT" + std::to_string(thread);
  }
  [[nodiscard]] std::string Indexes(unsigned thread = 0) const {
    return dir_.path() + "/IDX" + std::to_string(thread);
  }

  // Records while `send` runs; returns how long stopping took, in ms. Starting a recorder takes the
  // capabilities of the thread that does it, so `send` has a thread of its own that was there before.
  static int64_t Record(const CaptureOptions& options,
                        const std::function<void(const Recorder&, const FrameSender&)>& send) {
    const FrameSender tx(options.interface_name == "lo" ? "lo" : "veth-tx");
    std::promise<const Recorder*> started;
    std::thread sender([&] {
      if (const Recorder* recorder = started.get_future().get(); recorder != nullptr) send(*recorder, tx);
    });
    auto recorder = Recorder::Start(options);
    EXPECT_TRUE(recorder) << recorder.error().message;
    started.set_value(recorder ? recorder->get() : nullptr);
    sender.join();
    if (!recorder) return 0;
    const int64_t start = MonotonicNs();
    (*recorder)->RequestStop();
    const Status stopped = (*recorder)->Wait(-1);
    EXPECT_TRUE(stopped) << stopped.error().message;
    return (MonotonicNs() - start) / kNsPerMs;
  }

  [[nodiscard]] std::vector<uint32_t> Numbers(unsigned thread = 0) const {
    std::vector<uint32_t> numbers;
    for (const RecordedPacket& packet : NumberedPackets(Packets(thread))) {
      numbers.push_back(NumberOf(packet.frame));
      EXPECT_EQ(packet.frame, NumberedFrame(numbers.back()));
    }
    return numbers;
  }

  // Files have indexes of the same names, and nothing hidden is left.
  void ExpectComplete(unsigned thread = 0) const {
    EXPECT_EQ(NamesIn(Packets(thread)), NamesIn(Indexes(thread)));
  }

  testing::TempDir dir_;
};

inline std::vector<uint32_t> Sequence(uint32_t count) {
  std::vector<uint32_t> numbers(count);
  for (uint32_t number = 0; number < count; ++number) numbers[number] = number;
  return numbers;
}

}  // namespace steno
