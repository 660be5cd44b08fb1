#include "capture/loss_watch.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "capture/counter.h"

namespace steno {
namespace {

constexpr size_t kAnswerBytes = 32 * 1024;  // one interface with all its attributes
constexpr uint64_t kMaxSoftnetBytes = 1 << 20;

// A request for everything about the interface of a name.
struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  std::array<char, 16> name;  // IFNAMSIZ
};

LinkRequest MakeRequest(const std::string& interface_name) {
  LinkRequest request{};
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_len = sizeof request;
  request.attribute.rta_type = IFLA_IFNAME;
  request.attribute.rta_len = sizeof(rtattr) + sizeof request.name;
  interface_name.copy(request.name.data(), request.name.size() - 1);
  return request;
}

// The statistics in an answer to it; none in an error (there is no such interface).
std::optional<rtnl_link_stats64> FindStatistics(std::span<char> answer) {
  auto left = static_cast<unsigned>(answer.size());
  auto* header = reinterpret_cast<nlmsghdr*>(answer.data());
  if (!NLMSG_OK(header, left) || header->nlmsg_type != RTM_NEWLINK) return std::nullopt;
  auto* link = static_cast<ifinfomsg*>(NLMSG_DATA(header));
  auto bytes = IFLA_PAYLOAD(header);
  for (rtattr* at = IFLA_RTA(link); RTA_OK(at, bytes); at = RTA_NEXT(at, bytes)) {
    if (at->rta_type != IFLA_STATS64) continue;
    rtnl_link_stats64 statistics{};  // a kernel's may be longer or shorter
    std::memcpy(&statistics, RTA_DATA(at), std::min<size_t>(RTA_PAYLOAD(at), sizeof statistics));
    return statistics;
  }
  return std::nullopt;
}

}  // namespace

uint64_t LossTotal::Growth(uint64_t total) {
  const uint64_t before = last_.value_or(total);
  last_ = total;
  return total >= before ? total - before : total;
}

LossWatch::LossWatch(std::string interface_name)
    : interface_name_(std::move(interface_name)),
      netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  if (!netlink_.valid())
    STENO_WARN("interface {}: losses of the card are not seen: {}", interface_name_,
               Error::System("netlink socket").message);
}

// Zeros if there is no such interface: one that comes back counts from there. The kernel answers before
// send() returns.
LossWatch::InterfaceTotals LossWatch::ReadInterface() const {
  const LinkRequest request = MakeRequest(interface_name_);
  if (::send(netlink_.get(), &request, sizeof request, 0) < 0) return {};
  alignas(nlmsghdr) std::array<char, kAnswerBytes> answer;
  const ssize_t got = ::recv(netlink_.get(), answer.data(), answer.size(), 0);
  if (got <= 0) return {};
  const auto statistics = FindStatistics(std::span(answer).first(static_cast<size_t>(got)));
  if (!statistics) return {};
  return {.missed = statistics->rx_missed_errors, .dropped = statistics->rx_dropped};
}

uint64_t SoftnetDrops(std::string_view text) {
  uint64_t sum = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t at = line.find(' ');
    uint32_t dropped = 0;
    if (at != line.npos) std::from_chars(line.data() + at + 1, line.data() + line.size(), dropped, 16);
    sum += dropped;
  }
  return sum;
}

void LossWatch::Look(std::span<const Arena> arenas, int64_t now_ns) {
  CaptureCounters& counters = arenas.front().counters();
  const InterfaceTotals totals = ReadInterface();
  const uint64_t missed = missed_.Growth(totals.missed);
  const uint64_t dropped = dropped_.Growth(totals.dropped);
  const auto text = ReadTextFile("/proc/net/softnet_stat", kMaxSoftnetBytes);
  const uint64_t softnet = text ? softnet_.Growth(SoftnetDrops(*text)) : 0;
  AddTo(counters.nic_drops, missed);
  AddTo(counters.rx_dropped, dropped);
  AddTo(counters.softnet_drops, softnet);
  uint64_t rings = 0;
  for (const Arena& arena : arenas) rings += ValueOf(arena.counters().ring_drops);
  unreported_missed_ += missed;
  unreported_dropped_ += dropped;
  unreported_softnet_ += softnet;
  unreported_rings_ += rings_.Growth(rings);
  Warn(now_ns);
}

void LossWatch::Warn(int64_t now_ns) {
  if (unreported_rings_ + unreported_missed_ + unreported_softnet_ > 0 && log_.Allow(now_ns)) {
    STENO_WARN(
        "interface {}: packets were lost: {} because rings were full, {} by the card, {} in the kernel's "
        "input queues "
        "(of all interfaces)",
        interface_name_, std::exchange(unreported_rings_, 0), std::exchange(unreported_missed_, 0),
        std::exchange(unreported_softnet_, 0));
  }
  if (unreported_dropped_ > 0 && dropped_log_.Allow(now_ns)) {
    STENO_WARN(
        "interface {}: {} packets were dropped by its driver or the kernel (rx_dropped): lost, but for "
        "tagged packets "
        "that this machine has no use for, which are recorded",
        interface_name_, std::exchange(unreported_dropped_, 0));
  }
}

}  // namespace steno
