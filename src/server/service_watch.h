// ServiceWatch: a thread that keeps the service manager informed: ready once every capture runs or is known
// to wait for its interface, a line of status when it changes, and signs of life as long as the server is
// alive.
//
// Alive is a server whose threads all answer. One that has been at the same piece of work for too long is
// stuck, unless it waits for a disk: a restart would not make that disk faster, and would end the recording
// on the others. Then nothing is said any more, and the watchdog may do what it is there for.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "server/notify.h"
#include "server/supervisor.h"
#include "server/ticker.h"

namespace steno {

class ServiceWatch {
 public:
  struct Sources {
    std::function<std::vector<CaptureState>()> captures;
    std::function<std::vector<std::string>()> not_ready;
    std::function<std::string()> stuck;  // which thread; empty: none
  };
  // `notifier` must outlive this.
  ServiceWatch(const Notifier& notifier, Sources sources);

  // Nothing is said to the service manager after this but what the caller says.
  void Stop() { ticker_.Stop(); }

 private:
  std::chrono::milliseconds Turn();
  void TellAlive();

  const Notifier& notifier_;
  const Sources sources_;
  bool ready_ = false;  // of the thread, as the rest
  bool alive_ = true;
  std::string status_;
  Ticker ticker_;  // last: its thread uses all of the above
};

// Empty, or which of the tickers has been at one turn for more than `limit_ns` without waiting for a disk.
std::string StuckTicker(const std::vector<const Ticker*>& tickers, int64_t limit_ns, int64_t now_ns);

}  // namespace steno
