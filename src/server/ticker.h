// Ticker: a thread that does one piece of work again and again, after a pause or when woken.
//
// Wake() and Stop() may be called from any thread; Stop() (and the destructor) waits for the work in
// progress.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/clock.h"

namespace steno {

class Ticker {
 public:
  // Returns the pause until the next turn.
  using Work = std::function<std::chrono::milliseconds(const std::stop_token&)>;

  // `name`: of the thread, at most 15 characters. The first turn is at once.
  Ticker(const char* name, Work work)
      : name_(name), work_(std::move(work)), thread_([this](const std::stop_token& stop) { Run(stop); }) {}
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

  [[nodiscard]] const char* name() const { return name_; }
  // When the turn in progress began (monotonic); 0: there is none.
  [[nodiscard]] int64_t busy_since_ns() const { return busy_since_ns_; }
  [[nodiscard]] pid_t thread_id() const { return thread_id_; }  // 0: it has not started yet

 private:
  void Run(const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), name_);
    thread_id_ = ::gettid();
    while (!stop.stop_requested()) {
      busy_since_ns_ = MonotonicNs();
      const std::chrono::milliseconds pause = work_(stop);
      busy_since_ns_ = 0;
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, pause, [this] { return woken_; });
      woken_ = false;
    }
  }

  const char* const name_;
  const Work work_;
  std::atomic<int64_t> busy_since_ns_{0};
  std::atomic<pid_t> thread_id_{0};
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace steno
