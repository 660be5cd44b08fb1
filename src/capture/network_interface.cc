#include "capture/network_interface.h"

#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "base/unique_fd.h"

namespace steno {
namespace {

std::string ListInterfaces() {
  struct if_nameindex* all = ::if_nameindex();
  if (all == nullptr) return "cannot be listed";
  std::string names;
  for (const struct if_nameindex* entry = all; entry->if_index != 0; ++entry) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", entry->if_name);
  }
  ::if_freenameindex(all);
  return names.empty() ? "none" : names;
}

}  // namespace

Result<int> FindEthernetInterface(const std::string& name) {
  if (name == "any") {
    return Fail(Error::Unsupported(
        "interface 'any': the packets of all interfaces together have no Ethernet headers; name the "
        "interfaces to record"));
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Fail(Error::System("socket for interface requests"));
  ifreq request{};
  if (name.size() >= sizeof(request.ifr_name)) {
    return Fail(Error::NotFound(
        fmt::format("interface '{}': names have at most {} characters", name, sizeof(request.ifr_name) - 1)));
  }
  std::memcpy(request.ifr_name, name.data(), name.size());
  if (::ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) {
    return Fail(
        Error::NotFound(fmt::format("interface '{}' does not exist; there are: {}", name, ListInterfaces())));
  }
  const int index = request.ifr_ifindex;
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) {
    return Fail(Error::System(fmt::format("interface '{}': read its hardware type", name)));
  }
  const unsigned type = request.ifr_hwaddr.sa_family;
  if (type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK) {
    return Fail(
        Error::Unsupported(fmt::format("interface '{}': its hardware type is {} (ARPHRD_ of "
                                       "<linux/if_arp.h>); only Ethernet (1) and loopback (772) "
                                       "frames can be recorded",
                                       name, type)));
  }
  return index;
}

}  // namespace steno
