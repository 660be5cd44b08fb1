// TcpPeer: the other end of a TCP connection, by the name that --iface gives it, and connecting to it in a
// way that a stop can interrupt.
#pragma once

#include <netdb.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "capture/stop_event.h"

namespace steno {

struct TcpPeer {
  std::string host;  // a name, an IPv4 or an IPv6 address
  std::string port;  // 1..65535
};

// "tcp@...", in any letter case: not the name of an interface.
bool IsTcpPeer(std::string_view interface_name);

// "tcp@HOST:PORT"; an IPv6 address may stand in brackets. kInvalid says what was expected.
Result<TcpPeer> ParseTcpPeer(std::string_view interface_name);

// Connects to one peer, again and again. One owner thread. Looking a name up happens on a helper thread that
// may outlive this object: the C library cannot interrupt it, and a name server may take half a minute.
class TcpConnector {
 public:
  // The longest that one attempt takes for the name, and for each address.
  static constexpr int64_t kStepNs = 5 * kNsPerSecond;

  explicit TcpConnector(TcpPeer peer) : peer_(std::move(peer)) {}

  // A connected, non-blocking socket that notices a peer that is gone without a word within a minute. The
  // addresses of the name are tried in turn. kCancelled after a stop. At most until `deadline_ns`
  // (monotonic).
  Result<UniqueFd> Connect(const StopEvent& stop, int64_t deadline_ns);

 private:
  struct Lookup;

  Result<std::shared_ptr<Lookup>> LookUp(const StopEvent& stop, int64_t deadline_ns);

  const TcpPeer peer_;
  std::shared_ptr<Lookup> pending_;  // has not answered yet
};

}  // namespace steno
