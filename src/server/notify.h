// Notifier: tells the service manager how the server is (the protocol of sd_notify(3)), and takes over the
// sockets that it has opened (sd_listen_fds(3)).
//
// Without a service manager nothing happens. Thread-safe. FromEnvironment() and TakePassedSockets() remove
// what they read from the environment, so that it does not reach other programs: call them before there are
// threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

class Notifier {
 public:
  Notifier() = default;               // for nobody
  static Notifier FromEnvironment();  // NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID
  explicit Notifier(std::string socket, int64_t watchdog_ns = 0)
      : socket_(std::move(socket)), watchdog_ns_(watchdog_ns) {}

  void Ready() const { Send("READY=1"); }
  // A new configuration is read; Ready() ends this.
  void Reloading() const;
  void Stopping() const { Send("STOPPING=1"); }
  void Alive() const { Send("WATCHDOG=1"); }
  // A line for people.
  void Status(const std::string& text) const;

  [[nodiscard]] bool listening() const { return !socket_.empty(); }
  // The server is to be Alive() at least so often; 0: nobody watches.
  [[nodiscard]] int64_t watchdog_ns() const { return watchdog_ns_; }

 private:
  void Send(const std::string& state) const;

  std::string socket_;  // a path; "@...": an abstract name
  int64_t watchdog_ns_ = 0;
};

struct PassedSocket {
  UniqueFd fd;  // listens; close-on-exec and without waiting
  std::string name;
  bool unix_socket = false;  // else TCP
};

// LISTEN_FDS, if they are for this process. kInvalid names a descriptor that is not a listening stream
// socket.
Result<std::vector<PassedSocket>> TakePassedSockets();

}  // namespace steno
