// TcpFeed: PCAP-over-IP: a peer that sends what it captures as a pcap or pcapng file over a TCP connection.
//
// Each connection is a stream of its own, with its own file header. When the peer is away or ends a
// connection it is connected to again, with pauses that grow up to kMaxPauseNs, for ever.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/restart_backoff.h"
#include "capture/log_limiter.h"
#include "capture/stream_feed.h"
#include "capture/tcp_peer.h"

namespace steno {

class TcpFeed final : public StreamFeed {
 public:
  static constexpr int64_t kMaxPauseNs = 2 * kNsPerSecond;

  // `interface_name` as for ParseTcpPeer(). Tries to connect for about a second; a peer that is away by then
  // is no error.
  static Result<std::unique_ptr<TcpFeed>> Open(const std::string& interface_name);

  std::optional<PacketStream> Next(const StopEvent& stop) override;
  void Ended(const Status& how, const StreamCounts& counts) override;
  [[nodiscard]] bool lost() const override { return !connected_.load(std::memory_order_relaxed); }

 private:
  TcpFeed(std::string name, TcpPeer peer) : name_(std::move(name)), connector_(std::move(peer)) {}
  PacketStream Connected(UniqueFd fd);

  const std::string name_;
  TcpConnector connector_;
  UniqueFd first_;  // the connection of Open()
  RestartBackoff backoff_{kMaxPauseNs};
  int64_t connected_ns_ = 0;  // monotonic
  int64_t lasted_ns_ = RestartBackoff::kLongRunNs;
  LogLimiter away_log_{60 * kNsPerSecond};
  std::atomic<bool> connected_{false};
};

}  // namespace steno
