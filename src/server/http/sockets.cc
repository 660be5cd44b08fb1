#include "server/http/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace steno {
namespace {

constexpr int kBacklog = 256;

Result<UniqueFd> BindAddress(const addrinfo& address, const std::string& name) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Fail(Error::System("socket"));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0) return Fail(Error::System("bind " + name));
  if (::listen(fd.get(), kBacklog) != 0) return Fail(Error::System("listen on " + name));
  return fd;
}

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// Removes what a server that is gone left at `path`.
Status RemoveStaleSocket(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return Fail(Error::Invalid(path + ": exists and is not a socket"));
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = UnixAddress(path);
  const int result = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (result == 0 || errno == EAGAIN) return Fail(Error::Invalid(path + ": another server listens there"));
  if (::unlink(path.c_str()) != 0) return Fail(Error::System("remove " + path));
  return {};
}

Status SetSocketGroup(const std::string& path, const std::string& name) {
  const ::group* entry = ::getgrnam(name.c_str());
  if (entry == nullptr) return Fail(Error::Invalid("UnixSocketGroup: there is no group " + name));
  if (::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
    return Fail(Error::System("change group of " + path + " to " + name));
  }
  return {};
}

}  // namespace

Result<UniqueFd> ListenTcp(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string service = std::to_string(port);
  if (const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &list);
      error != 0) {
    return Fail(Error::Invalid(fmt::format("Host: {}: {}", host, ::gai_strerror(error))));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(list, ::freeaddrinfo);
  const std::string name = fmt::format("{}:{}", host, port);
  Result<UniqueFd> first = Fail(Error::Invalid("Host: " + host + " has no address"));
  // All addresses: an IPv6 socket takes IPv4 too, where there is IPv6.
  for (const int family : {AF_INET6, AF_INET}) {
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
      if (host.empty() ? entry->ai_family != family : family == AF_INET6) continue;
      auto fd = BindAddress(*entry, name);
      if (fd) return fd;
      first = std::move(fd);
    }
  }
  return first;
}

Result<uint16_t> BoundPort(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
    return Fail(Error::System("getsockname"));
  // sin_port and sin6_port are at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Result<UniqueFd> ListenUnix(const std::string& path, const std::string& group) {
  STENO_CHECK_OK(RemoveStaleSocket(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Fail(Error::System("socket"));
  const sockaddr_un address = UnixAddress(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Fail(Error::System("bind " + path));
  }
  // Nobody can connect before listen(): there is no moment with other rights.
  if (::chmod(path.c_str(), 0660) != 0) return Fail(Error::System("chmod " + path));
  if (!group.empty()) STENO_CHECK_OK(SetSocketGroup(path, group));
  if (::listen(fd.get(), kBacklog) != 0) return Fail(Error::System("listen on " + path));
  return fd;
}

ClientIdentity UnixPeer(int fd) {
  ClientIdentity client{ClientIdentity::Kind::kUnixUser, "unknown", {}};
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return client;
  client.address = fmt::format("pid={}", peer.pid);
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  const bool named = ::getpwuid_r(peer.uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
  client.name = named ? found->pw_name : std::to_string(peer.uid);
  return client;
}

std::string TcpPeerName(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::getpeername(fd, generic, &bytes) != 0 ||
      ::getnameinfo(generic, bytes, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) !=
          0) {
    return "unknown address";
  }
  return address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                       : fmt::format("{}:{}", host, port);
}

bool PeerHasLeft(int fd) {
  pollfd event{fd, POLLRDHUP, 0};
  return ::poll(&event, 1, 0) > 0 && (event.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace steno
