#include "capture/stop_event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

namespace steno {

Status StopEvent::Open() {
  event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (event_.valid()) return {};
  return Fail(Error::System("eventfd"));
}

void StopEvent::Request() {
  requested_.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  static_cast<void>(!::write(event_.get(), &one, sizeof one));
}

bool StopEvent::WaitFor(int fd, int16_t events, int timeout_ms) const {
  std::array<pollfd, 2> waits{pollfd{event_.get(), POLLIN, 0}, pollfd{fd, events, 0}};
  if (::poll(waits.data(), waits.size(), timeout_ms) <= 0) return false;
  return waits[0].revents == 0 && waits[1].revents != 0;
}

}  // namespace steno
