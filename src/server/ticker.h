// Ticker: a thread that does one piece of work again and again, after a pause or when woken.
//
// Wake() and Stop() may be called from any thread; Stop() (and the destructor) waits for the work in
// progress.
#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace steno {

class Ticker {
 public:
  // Returns the pause until the next turn.
  using Work = std::function<std::chrono::milliseconds(const std::stop_token&)>;

  // `name`: of the thread, at most 15 characters. The first turn is at once.
  Ticker(const char* name, Work work)
      : work_(std::move(work)), thread_([this, name](const std::stop_token& stop) { Run(stop, name); }) {}
  ~Ticker() { Stop(); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void Wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    wake_.notify_one();
  }

  void Stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run(const std::stop_token& stop, const char* name) {
    ::pthread_setname_np(::pthread_self(), name);
    while (!stop.stop_requested()) {
      const std::chrono::milliseconds pause = work_(stop);
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, pause, [this] { return woken_; });
      woken_ = false;
    }
  }

  const Work work_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace steno
