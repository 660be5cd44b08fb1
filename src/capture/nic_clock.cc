#include "capture/nic_clock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdlib>
#include <ctime>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace steno {
namespace {

// A clock that nothing keeps right is off by hours; one on International Atomic Time, by 37 s.
constexpr int64_t kMaxClockErrorNs = 100 * kNsPerMs;

// An ioctl of a network interface that takes a structure.
Status Request(int socket, unsigned long number, const std::string& interface_name, void* data,
               std::string_view what) {
  ifreq request{};
  interface_name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = static_cast<char*>(data);
  if (::ioctl(socket, number, &request) == 0) return {};
  return Fail(Error::System(what));
}

// The number of the interface's hardware clock (/dev/ptp<n>), which must be able to stamp every packet.
Result<int> FindClock(int socket, const std::string& interface_name) {
  ethtool_ts_info info{};
  info.cmd = ETHTOOL_GET_TS_INFO;
  STENO_CHECK_OK(Request(socket, SIOCETHTOOL, interface_name, &info, "ask for its kinds of time stamps"));
  constexpr uint32_t kNeeded = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
  if ((info.so_timestamping & kNeeded) != kNeeded)
    return Fail(Error::Unsupported("its driver has no hardware time stamps"));
  if ((info.rx_filters & 1U << HWTSTAMP_FILTER_ALL) == 0)
    return Fail(Error::Unsupported("its hardware stamps some packets only (no HWTSTAMP_FILTER_ALL)"));
  return info.phc_index;
}

// How far the hardware clock is ahead of the system's.
Result<int64_t> ClockErrorNs(int number) {
  if (number < 0)
    return Fail(Error::Unsupported("its hardware clock cannot be read (it has no /dev/ptp<n>)"));
  STENO_TRY(const UniqueFd clock, OpenFile(fmt::format("/dev/ptp{}", number), O_RDONLY));
  // The clock id of a descriptor: FD_TO_CLOCKID of the kernel's ptp documentation.
  const auto id = static_cast<clockid_t>((~static_cast<unsigned>(clock.get()) << 3) | 3);
  timespec time{};
  if (::clock_gettime(id, &time) != 0) return Fail(Error::System(fmt::format("read /dev/ptp{}", number)));
  return time.tv_sec * kNsPerSecond + time.tv_nsec - WallNs();
}

Status StampEveryPacket(int socket, const std::string& interface_name) {
  hwtstamp_config config{};
  const Status read = Request(socket, SIOCGHWTSTAMP, interface_name, &config, "read its time stamp settings");
  if (read && config.rx_filter == HWTSTAMP_FILTER_ALL) return {};
  if (!read) config = {};
  config.rx_filter = HWTSTAMP_FILTER_ALL;  // what is sent stays as it is
  STENO_CHECK_OK(Request(socket, SIOCSHWTSTAMP, interface_name, &config, "turn its time stamps on"));
  if (config.rx_filter == HWTSTAMP_FILTER_ALL) return {};
  return Fail(Error::Unsupported("its driver does not stamp all packets after all"));
}

Status TryNicClock(TimestampSource wanted, const std::string& interface_name) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Fail(Error::System("socket for interface requests"));
  STENO_TRY(const int clock, FindClock(socket.get(), interface_name));
  const auto error_ns = ClockErrorNs(clock);
  std::string doubt;
  if (!error_ns) {
    doubt = error_ns.error().message;
  } else if (std::abs(*error_ns) > kMaxClockErrorNs) {
    doubt = fmt::format("its clock is {} ms ahead of the system's (ptp4l and phc2sys keep them together)",
                        *error_ns / kNsPerMs);
  }
  if (!doubt.empty() && wanted == TimestampSource::kAuto) return Fail(Error::Unsupported(doubt));
  if (!doubt.empty()) STENO_WARN("interface {}: --timestamp_source=nic, but {}", interface_name, doubt);
  return StampEveryPacket(socket.get(), interface_name);
}

}  // namespace

Result<bool> UseNicClock(TimestampSource wanted, const std::string& interface_name) {
  std::string why;
  if (wanted != TimestampSource::kKernel) {
    const Status ready = TryNicClock(wanted, interface_name);
    if (ready) {
      STENO_INFO("interface {}: packets are stamped by the NIC's clock", interface_name);
      return true;
    }
    if (wanted == TimestampSource::kNic) {
      return Fail(
          Error(ready.error()).With(fmt::format("--timestamp_source=nic: interface {}", interface_name)));
    }
    why = ": " + ready.error().message;
  }
  STENO_INFO("interface {}: packets are stamped by the kernel's clock{}", interface_name, why);
  return false;
}

}  // namespace steno
