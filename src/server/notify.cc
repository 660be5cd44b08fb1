#include "server/notify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START
constexpr uint64_t kMostPassed = 64;

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

bool IsForUs(const std::string& pid) { return pid.empty() || pid == std::to_string(::getpid()); }

std::vector<std::string> SplitNames(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

int SocketOption(int fd, int option) {
  int value = -1;
  socklen_t bytes = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &bytes) == 0 ? value : -1;
}

Result<PassedSocket> TakeSocket(int number, std::string name) {
  PassedSocket passed{UniqueFd(number), std::move(name), false};
  const int family = SocketOption(number, SO_DOMAIN);
  const bool known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
  if (!known || SocketOption(number, SO_TYPE) != SOCK_STREAM || SocketOption(number, SO_ACCEPTCONN) != 1) {
    return Fail(Error::Invalid(fmt::format(
        "descriptor {} ({}) of the service manager is not a listening stream socket", number, passed.name)));
  }
  passed.unix_socket = family == AF_UNIX;
  ::fcntl(number, F_SETFD, FD_CLOEXEC);
  ::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) | O_NONBLOCK);
  return passed;
}

}  // namespace

Notifier Notifier::FromEnvironment() {
  std::string socket = TakeVariable("NOTIFY_SOCKET");
  const std::string microseconds = TakeVariable("WATCHDOG_USEC");
  const std::string pid = TakeVariable("WATCHDOG_PID");
  const int64_t watchdog_ns =
      IsForUs(pid) ? std::max(std::atoll(microseconds.c_str()), 0LL) * kNsPerUs : int64_t{0};
  return Notifier(std::move(socket), watchdog_ns);
}

void Notifier::Reloading() const {
  Send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", MonotonicNs() / kNsPerUs));
}

void Notifier::Status(const std::string& text) const {
  std::string line = text;
  std::ranges::replace(line, '\n', ' ');
  Send("STATUS=" + line);
}

void Notifier::Send(const std::string& state) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  socket_.copy(address.sun_path, socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), bytes) < 0) {
    STENO_DEBUG("{}", Error::System("tell the service manager " + state).message);
  }
}

Result<std::vector<PassedSocket>> TakePassedSockets() {
  const std::string pid = TakeVariable("LISTEN_PID");
  const std::string count = TakeVariable("LISTEN_FDS");
  std::vector<std::string> names = SplitNames(TakeVariable("LISTEN_FDNAMES"));
  std::vector<PassedSocket> sockets;
  if (pid != std::to_string(::getpid())) return sockets;
  const uint64_t passed = std::min<uint64_t>(std::strtoull(count.c_str(), nullptr, 10), kMostPassed);
  names.resize(passed);
  for (uint64_t i = 0; i < passed; ++i) {
    STENO_TRY(PassedSocket socket, TakeSocket(kFirstPassed + static_cast<int>(i), std::move(names[i])));
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

}  // namespace steno
