// LossWatch: packets that were lost before they got to any ring, by the network card and by the kernel, and a
// warning whenever more are lost, there or in the rings.
//
// Main thread, which reads about once a second. What is read:
//   the interface's rx_missed_errors (the card had nowhere to put them) and rx_dropped (its driver or the
//     kernel dropped them): struct rtnl_link_stats64 of <linux/if_link.h>, by rtnetlink(7), which looks in
//     the caller's network namespace wherever /sys was mounted. Rx_dropped is no proof of a loss: the kernel
//     counts there tagged packets that no protocol of this machine takes, all of QinQ among them, after rings
//     have got them. Not rx_nohandler: those have been to the rings, too.
//   the kernel's input queues, "dropped" of /proc/net/softnet_stat: of all interfaces together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "capture/log_limiter.h"
#include "index/arena.h"

namespace steno {

// A total that only grows, until what counts it is made anew and begins at 0.
class LossTotal {
 public:
  // How much `total` has grown since the last call; 0 in the first one.
  uint64_t Growth(uint64_t total);

 private:
  std::optional<uint64_t> last_;
};

class LossWatch {
 public:
  explicit LossWatch(std::string interface_name);

  // Adds what was lost since the last call (the first one only looks) to nic_drops, rx_dropped and
  // softnet_drops of the first arena, and sees what the capture threads have counted. Every arena is one
  // thread's.
  void Look(std::span<const Arena> arenas, int64_t now_ns);

 private:
  struct InterfaceTotals {
    uint64_t missed = 0;
    uint64_t dropped = 0;
  };
  InterfaceTotals ReadInterface() const;
  void Warn(int64_t now_ns);

  const std::string interface_name_;
  UniqueFd netlink_;
  LossTotal missed_;
  LossTotal dropped_;
  LossTotal softnet_;
  LossTotal rings_;
  // Not yet in a warning.
  uint64_t unreported_missed_ = 0;
  uint64_t unreported_dropped_ = 0;
  uint64_t unreported_softnet_ = 0;
  uint64_t unreported_rings_ = 0;
  LogLimiter log_;
  LogLimiter dropped_log_{600 * kNsPerSecond};  // may go on for ever without a loss
};

// The sum of the column "dropped" (the second, hexadecimal) in the text of /proc/net/softnet_stat.
uint64_t SoftnetDrops(std::string_view text);

}  // namespace steno
