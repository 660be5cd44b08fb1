// Waker: lets other threads wake coroutines of the I/O thread that wait for something.
//
// asio::post() does that too, but rouses the I/O thread while it holds the lock that this needs first. Where
// both share a processor, the I/O thread then gives way to the other for the lock, and back again, each time.
#pragma once

#include "server/http/boost.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"

namespace steno {

class Waker;

// What one coroutine waits for. Must not outlive the Waker's users: see Waker.
class Signal : public std::enable_shared_from_this<Signal> {
 public:
  Signal(Waker& waker, const boost::asio::any_io_executor& executor) : waker_(waker), timer_(executor) {}

  // From any thread: ends the Wait() in progress, if there is one.
  void Raise();
  // On the I/O thread: until it is raised, or the time is over.
  boost::asio::awaitable<void> Wait(std::chrono::milliseconds most);

 private:
  friend class Waker;
  Waker& waker_;
  boost::asio::steady_timer timer_;
};

// Outlives all threads that raise signals.
class Waker {
 public:
  static Result<std::unique_ptr<Waker>> Make(const boost::asio::any_io_executor& executor);

  // On the I/O thread, for as long as that runs.
  boost::asio::awaitable<void> Run();

 private:
  friend class Signal;
  Waker(const boost::asio::any_io_executor& executor, int event_fd) : event_(executor, event_fd) {}
  void Raise(std::shared_ptr<Signal> signal);

  boost::asio::posix::stream_descriptor event_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Signal>> raised_;  // guarded by mutex_; a few for each query
};

}  // namespace steno
