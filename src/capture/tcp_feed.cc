#include "capture/tcp_feed.h"

#include <fmt/format.h>

#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr int64_t kFirstTryNs = kNsPerSecond;
constexpr uint32_t kInterfaceIndex = 1;

}  // namespace

Result<std::unique_ptr<TcpFeed>> TcpFeed::Open(const std::string& interface_name) {
  STENO_TRY(TcpPeer peer, ParseTcpPeer(interface_name));
  std::unique_ptr<TcpFeed> feed(new TcpFeed(interface_name, std::move(peer)));
  StopEvent never;
  STENO_CHECK_OK(never.Open());
  if (auto first = feed->connector_.Connect(never, MonotonicNs() + kFirstTryNs)) {
    feed->first_ = std::move(*first);
    feed->connected_.store(true, std::memory_order_relaxed);
  } else {
    feed->away_log_.Allow(MonotonicNs());
    STENO_WARN("{}: {}; trying on", interface_name, first.error().message);
  }
  return feed;
}

std::optional<PacketStream> TcpFeed::Next(const StopEvent& stop) {
  if (first_.valid()) return Connected(std::move(first_));
  while (!stop.requested()) {
    const int64_t pause_ns = backoff_.NextDelayNs(std::exchange(lasted_ns_, 0));
    if (pause_ns > 0) static_cast<void>(stop.WaitFor(-1, 0, static_cast<int>(pause_ns / kNsPerMs)));
    auto connected = connector_.Connect(stop, INT64_MAX);
    if (connected) return Connected(std::move(*connected));
    if (!stop.requested() && away_log_.Allow(MonotonicNs())) {
      STENO_WARN("{}: {}; trying on", name_, connected.error().message);
    }
  }
  return std::nullopt;
}

PacketStream TcpFeed::Connected(UniqueFd fd) {
  STENO_INFO("{}: connected", name_);
  connected_ns_ = MonotonicNs();
  connected_.store(true, std::memory_order_relaxed);
  return {.fd = std::move(fd), .name = name_, .origin = {kInterfaceIndex, name_}};
}

void TcpFeed::Ended(const Status& how, const StreamCounts& counts) {
  connected_.store(false, std::memory_order_relaxed);
  lasted_ns_ = MonotonicNs() - connected_ns_;
  if (!how && how.error().code == ErrorCode::kCancelled) return;
  away_log_ = LogLimiter(60 * kNsPerSecond);  // what happens next is news
  STENO_WARN("{} after {} packets; connecting again",
             how ? name_ + ": the peer closed the connection" : how.error().message, counts.recorded);
}

}  // namespace steno
