#include "capture/tcp_peer.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <thread>

namespace steno {
namespace {

constexpr std::string_view kPrefix = "tcp@";

// A peer that is gone without a word is noticed after idle + count * interval seconds.
constexpr int kKeepAliveIdleSec = 15;
constexpr int kKeepAliveIntervalSec = 10;
constexpr int kKeepAliveCount = 3;

int LeftMs(int64_t deadline_ns) {
  return static_cast<int>(std::clamp<int64_t>((deadline_ns - MonotonicNs()) / kNsPerMs + 1, 0, 60'000));
}

Error Stopped() { return {.code = ErrorCode::kCancelled, .message = "stopped"}; }

bool IsPort(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

void KeepAlive(int fd) {
  const auto set = [fd](int level, int option, int value) {
    static_cast<void>(::setsockopt(fd, level, option, &value, sizeof value));
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSec);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSec);
  set(IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveCount);
}

Result<UniqueFd> ConnectTo(const addrinfo& address, const StopEvent& stop, int64_t deadline_ns) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (!fd.valid()) return Fail(Error::System("socket"));
  KeepAlive(fd.get());
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
  if (errno != EINPROGRESS && errno != EINTR) return Fail(Error::System("connect"));
  if (!stop.WaitFor(fd.get(), POLLOUT, LeftMs(deadline_ns))) {
    return stop.requested() ? Fail(Stopped()) : Fail(Error::System("connect", ETIMEDOUT));
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return Fail(Error::System("connect"));
  if (error != 0) return Fail(Error::System("connect", error));
  return fd;
}

}  // namespace

// Shared by the connector and the helper thread, which fills it before it says that it has answered.
struct TcpConnector::Lookup {
  UniqueFd done;  // eventfd, to wait for the answer
  std::atomic<bool> answered{false};
  int error = 0;  // of getaddrinfo(3)
  addrinfo* addresses = nullptr;

  Lookup() = default;
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() {
    if (addresses != nullptr) ::freeaddrinfo(addresses);
  }
};

bool IsTcpPeer(std::string_view interface_name) {
  return interface_name.size() >= kPrefix.size() &&
         ::strncasecmp(interface_name.data(), kPrefix.data(), kPrefix.size()) == 0;
}

Result<TcpPeer> ParseTcpPeer(std::string_view interface_name) {
  const std::string_view text = interface_name.substr(std::min(kPrefix.size(), interface_name.size()));
  const size_t colon = text.find_last_of(':');
  std::string_view host = text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!IsTcpPeer(interface_name) || host.empty() || !IsPort(port)) {
    return Fail(Error::Invalid(
        fmt::format("--iface={}: expected tcp@HOST:PORT, with a port of 1..65535", interface_name)));
  }
  return TcpPeer{std::string(host), std::string(port)};
}

Result<std::shared_ptr<TcpConnector::Lookup>> TcpConnector::LookUp(const StopEvent& stop,
                                                                   int64_t deadline_ns) {
  if (!pending_) {
    pending_ = std::make_shared<Lookup>();
    pending_->done.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!pending_->done.valid()) return Fail(Error::System("eventfd"));
    std::thread([lookup = pending_, peer = peer_] {
      addrinfo hints{};
      hints.ai_socktype = SOCK_STREAM;
      hints.ai_flags = AI_NUMERICSERV;
      lookup->error = ::getaddrinfo(peer.host.c_str(), peer.port.c_str(), &hints, &lookup->addresses);
      lookup->answered.store(true, std::memory_order_release);
      const uint64_t one = 1;
      static_cast<void>(!::write(lookup->done.get(), &one, sizeof one));
    }).detach();
  }
  static_cast<void>(stop.WaitFor(pending_->done.get(), POLLIN, LeftMs(deadline_ns)));
  if (!pending_->answered.load(std::memory_order_acquire)) {
    if (stop.requested()) return Fail(Stopped());
    return Fail(Error::System(fmt::format("look up {}", peer_.host), ETIMEDOUT));
  }
  std::shared_ptr<Lookup> done = std::exchange(pending_, nullptr);
  if (done->error == 0) return done;
  return Fail(Error::NotFound(fmt::format("look up {}: {}", peer_.host, ::gai_strerror(done->error))));
}

Result<UniqueFd> TcpConnector::Connect(const StopEvent& stop, int64_t deadline_ns) {
  const auto step = [deadline_ns] { return std::min(deadline_ns, MonotonicNs() + kStepNs); };
  STENO_TRY(const std::shared_ptr<Lookup> lookup, LookUp(stop, step()));
  Result<UniqueFd> connected = Fail(Error::NotFound(fmt::format("{} has no address", peer_.host)));
  for (const addrinfo* address = lookup->addresses; address != nullptr; address = address->ai_next) {
    connected = ConnectTo(*address, stop, step());
    if (connected || stop.requested()) break;
  }
  return connected;
}

}  // namespace steno
