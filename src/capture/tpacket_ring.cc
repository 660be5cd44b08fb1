#include "capture/tpacket_ring.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <net/ethernet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "capture/network_interface.h"

namespace steno {
namespace {

// The kernel only checks that frames divide a block; V3 packs packets of any length.
constexpr uint32_t kFrameBytes = 65536;

template <class T>
Status SetOption(int fd, int level, int option, const T& value, std::string_view what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return Fail(Error::System(what));
}

Result<UniqueFd> OpenSocket() {
  // Protocol 0: nothing is received until bind() names interface and protocol together.
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (fd.valid()) return fd;
  if (errno == EPERM || errno == EACCES) {
    return Fail(
        Error::System("packet socket: stenotype needs CAP_NET_RAW (start it as root, or "
                      "setcap cap_net_raw,cap_net_admin,cap_ipc_lock+ep on the program)"));
  }
  return Fail(Error::System("packet socket"));
}

}  // namespace

Result<std::unique_ptr<TPacketRing>> TPacketRing::Open(const RingOptions& options) {
  std::unique_ptr<TPacketRing> opened(new TPacketRing);
  TPacketRing& ring = *opened;
  ring.interface_name_ = options.interface_name;
  ring.filter_ = options.filter;
  ring.promiscuous_ = options.promiscuous;
  ring.nic_clock_ = options.nic_clock;
  STENO_TRY(ring.interface_index_, FindEthernetInterface(options.interface_name));
  STENO_TRY(ring.socket_, OpenSocket());
  STENO_CHECK_OK(SetOption(ring.fd(), SOL_PACKET, PACKET_VERSION, int{TPACKET_V3}, "select TPACKET_V3"));
  STENO_CHECK_OK(ring.CloseGate());
  if (options.nic_clock) {
    STENO_CHECK_OK(SetOption(ring.fd(), SOL_PACKET, PACKET_TIMESTAMP, int{SOF_TIMESTAMPING_RAW_HARDWARE},
                             "have packets stamped by the NIC"));
  }

  uint32_t count = std::max(options.block_count, kMinRingBlocks);
  Status made = ring.MakeRing(options.block_bytes, count);
  while (!made && made.error().sys_errno == ENOMEM && count > kMinRingBlocks) {
    count = std::max(count - count / 4 - 1, kMinRingBlocks);
    made = ring.MakeRing(options.block_bytes, count);
  }
  STENO_CHECK_OK(made);
  if (count < options.block_count) {
    STENO_WARN("interface {}: the kernel has no memory for a ring of {} blocks of {} KiB; using {} blocks",
               options.interface_name, options.block_count, options.block_bytes / 1024, count);
  }
  STENO_CHECK_OK(ring.Bind());
  return opened;
}

Status TPacketRing::MakeRing(uint32_t block_bytes, uint32_t block_count) {
  const uint32_t frame_bytes = std::min(kFrameBytes, block_bytes);
  tpacket_req3 request{};
  request.tp_block_size = block_bytes;
  request.tp_block_nr = block_count;
  request.tp_frame_size = frame_bytes;
  request.tp_frame_nr = block_bytes / frame_bytes * block_count;
  request.tp_retire_blk_tov = kRetireMs;
  request.tp_sizeof_priv = kPrivateHeaderBytes;
  if (::setsockopt(fd(), SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
    return Fail(
        Error::System(fmt::format("packet ring of {} blocks of {} KiB", block_count, block_bytes / 1024)));
  }
  const size_t bytes = size_t{block_bytes} * block_count;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd(), 0);
  if (memory == MAP_FAILED) return Fail(Error::System(fmt::format("map a packet ring of {} bytes", bytes)));
  SetMemory(Mapping::Adopt(memory, bytes), block_bytes, block_count);
  return {};
}

Status TPacketRing::Bind() {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = interface_index_;
  if (::bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Fail(Error::System(fmt::format("bind the packet socket to interface {}", interface_name_)));
  }
  if (!promiscuous_) return {};
  packet_mreq membership{};
  membership.mr_ifindex = interface_index_;
  membership.mr_type = PACKET_MR_PROMISC;
  return SetOption(fd(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership,
                   fmt::format("set interface {} to promiscuous mode", interface_name_));
}

Result<uint16_t> TPacketRing::JoinFanout(const FanoutOptions& options) {
  const uint32_t flags = options.id ? 0 : uint32_t{PACKET_FANOUT_FLAG_UNIQUEID};
  const uint32_t argument = options.id.value_or(0) | (options.type | flags) << 16;
  STENO_CHECK_OK(SetOption(fd(), SOL_PACKET, PACKET_FANOUT, argument,
                           fmt::format("join fanout group {} of type {:#x} on interface {}",
                                       options.id.value_or(0), options.type, interface_name_)));
  uint32_t joined = 0;
  socklen_t size = sizeof joined;
  if (::getsockopt(fd(), SOL_PACKET, PACKET_FANOUT, &joined, &size) != 0) {
    return Fail(Error::System("read the fanout group's number"));
  }
  return static_cast<uint16_t>(joined);
}

Status TPacketRing::SetFilter(const FilterProgram& program) {
  // The kernel reads the program only; its structure has no const.
  const sock_fprog description{.len = static_cast<unsigned short>(program.size()),
                               .filter = const_cast<sock_filter*>(program.data())};
  return SetOption(fd(), SOL_SOCKET, SO_ATTACH_FILTER, description, "attach the packet filter");
}

Status TPacketRing::OpenGate() {
  if (!filter_.empty()) return SetFilter(filter_);
  return SetOption(fd(), SOL_SOCKET, SO_DETACH_FILTER, int{0}, "detach the closed filter");
}

Status TPacketRing::CloseGate() { return SetFilter(DropAllProgram()); }

void TPacketRing::Return(uint32_t block) {
  StatusWord(block).store(TP_STATUS_KERNEL, std::memory_order_release);
}

Result<SourceStatistics> TPacketRing::ReadStatistics() {
  tpacket_stats_v3 kernel{};
  socklen_t size = sizeof kernel;
  if (::getsockopt(fd(), SOL_PACKET, PACKET_STATISTICS, &kernel, &size) != 0) {
    return Fail(Error::System("read the packet statistics"));
  }
  return SourceStatistics{
      .packets = kernel.tp_packets, .drops = kernel.tp_drops, .freezes = kernel.tp_freeze_q_cnt};
}

bool TPacketRing::InterfaceGone() const {
  int pending = 0;
  socklen_t pending_size = sizeof pending;
  static_cast<void>(::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &pending, &pending_size));
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  return address.sll_ifindex != interface_index_;
}

Status TPacketRing::Check(bool& lost) {
  lost = InterfaceGone();
  if (!lost) return {};
  const auto index = FindEthernetInterface(interface_name_);
  if (!index) return {};
  interface_index_ = *index;
  const Status bound = Bind();
  if (bound) lost = false;
  // EINVAL: a member of a fanout group. Everything else may pass.
  if (bound || bound.error().sys_errno != EINVAL) return {};
  return Fail(
      Error{.code = ErrorCode::kStale,
            .message = fmt::format("interface {} has been made anew, and the kernel does not let members of "
                                   "a fanout group move to another: ending, to be started again",
                                   interface_name_)});
}

}  // namespace steno
