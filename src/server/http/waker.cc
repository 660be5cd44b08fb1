#include "server/http/waker.h"

#include <sys/eventfd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace steno {

namespace asio = boost::asio;

namespace {
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
}

void Signal::Raise() { waker_.Raise(shared_from_this()); }

asio::awaitable<void> Signal::Wait(std::chrono::milliseconds most) {
  timer_.expires_after(most);
  co_await timer_.async_wait(kNoThrow);
}

Result<std::unique_ptr<Waker>> Waker::Make(const asio::any_io_executor& executor) {
  const int event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) return Fail(Error::System("eventfd"));
  return std::unique_ptr<Waker>(new Waker(executor, event_fd));
}

void Waker::Raise(std::shared_ptr<Signal> signal) {
  {
    const std::lock_guard lock(mutex_);
    raised_.push_back(std::move(signal));
  }
  ::eventfd_write(event_.native_handle(), 1);
}

asio::awaitable<void> Waker::Run() {
  for (;;) {
    const auto [error] = co_await event_.async_wait(asio::posix::stream_descriptor::wait_read, kNoThrow);
    if (error) co_return;
    eventfd_t count = 0;
    ::eventfd_read(event_.native_handle(), &count);
    std::vector<std::shared_ptr<Signal>> raised;
    {
      const std::lock_guard lock(mutex_);
      raised.swap(raised_);
    }
    for (const auto& signal : raised) signal->timer_.cancel();
  }
}

}  // namespace steno
