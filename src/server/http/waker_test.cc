#include "server/http/waker.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace steno {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
constexpr milliseconds kForEver = std::chrono::hours(1);

class WakerTest : public ::testing::Test {
 protected:
  WakerTest() : waker_(std::move(*Waker::Make(io_.get_executor()))) {
    asio::co_spawn(io_, waker_->Run(), asio::detached);
  }
  // Runs the I/O thread until all of `count` waits have ended.
  void WaitFor(std::vector<std::shared_ptr<Signal>> signals, milliseconds most) {
    size_t left = signals.size();
    for (const auto& signal : signals) {
      asio::co_spawn(io_, signal->Wait(most), [&](const std::exception_ptr&) {
        if (--left == 0) io_.stop();
      });
    }
    io_.restart();
    io_.run();
  }
  std::shared_ptr<Signal> MakeSignal() { return std::make_shared<Signal>(*waker_, io_.get_executor()); }

  asio::io_context io_{1};
  std::unique_ptr<Waker> waker_;
};

TEST_F(WakerTest, AWaitEndsWithItsTime) { WaitFor({MakeSignal()}, milliseconds(1)); }

TEST_F(WakerTest, OtherThreadsEndWaits) {
  const std::vector<std::shared_ptr<Signal>> signals = {MakeSignal(), MakeSignal(), MakeSignal()};
  std::vector<std::jthread> threads;
  for (const auto& signal : signals) {
    threads.emplace_back([signal](const std::stop_token& stop) {
      while (!stop.stop_requested()) {  // nothing is kept of a signal that nobody waits for
        signal->Raise();
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 100; ++i) WaitFor(signals, kForEver);
}

TEST_F(WakerTest, ASignalThatIsGoneIsNoHarm) {
  MakeSignal()->Raise();
  WaitFor({MakeSignal()}, milliseconds(10));
}

}  // namespace
}  // namespace steno
