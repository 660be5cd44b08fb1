#include "capture/block_filler.h"

#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "capture/ring_block.h"

namespace steno {
namespace {

constexpr uint32_t kBlockVersion3 = 2;  // the kernel's number for blocks of TPACKET_V3
constexpr uint32_t kAddressOffset = 48;
constexpr size_t kSourceMacOffset = 6;
constexpr size_t kEtherTypeOffset = 12;
constexpr uint8_t kMacBytes = 6;
static_assert(kAddressOffset == TPACKET_ALIGN(sizeof(tpacket3_hdr)));
static_assert(kAddressOffset + sizeof(sockaddr_ll) <= kFrameOffset);

// What the kernel notes about the interface and the frame's first header, as far as there is one.
sockaddr_ll LinkAddress(const PacketToFill& packet) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(packet.interface_index);
  address.sll_hatype = ARPHRD_ETHER;
  address.sll_pkttype = PACKET_HOST;
  if (packet.frame.size() < kEtherTypeOffset + sizeof address.sll_protocol) return address;
  std::memcpy(&address.sll_protocol, packet.frame.data() + kEtherTypeOffset, sizeof address.sll_protocol);
  address.sll_halen = kMacBytes;
  std::memcpy(address.sll_addr, packet.frame.data() + kSourceMacOffset, kMacBytes);
  return address;
}

}  // namespace

void BlockFiller::Begin(std::span<uint8_t> block, uint64_t sequence, int64_t now_ns) {
  block_ = block;
  header_ = {};
  header_.version = kBlockVersion3;
  header_.private_offset = kKernelHeaderBytes;
  header_.first_packet_offset = kFirstPacketOffset;
  header_.sequence = sequence;
  header_.opened_sec = static_cast<uint32_t>(now_ns / kNsPerSecond);
  header_.opened_nsec = static_cast<uint32_t>(now_ns % kNsPerSecond);
  used_ = last_ = kFirstPacketOffset;
  packets_ = 0;
}

bool BlockFiller::Add(const PacketToFill& packet) {
  const auto captured = static_cast<uint32_t>(packet.frame.size());
  const auto bytes = static_cast<uint32_t>(AlignUp(kFrameOffset + captured, kPacketAlignment));
  if (bytes > block_.size() - used_) return false;
  uint8_t* const at = block_.data() + used_;
  tpacket3_hdr header{};
  header.tp_next_offset = bytes;
  header.tp_sec = packet.seconds;
  header.tp_nsec = packet.nanoseconds;
  header.tp_snaplen = captured;
  header.tp_len = packet.original_bytes;
  header.tp_status = TP_STATUS_USER;
  header.tp_mac = kFrameOffset;
  header.tp_net = kNetworkOffset;
  const sockaddr_ll address = LinkAddress(packet);
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + kAddressOffset, &address, sizeof address);
  // What the block held before must not get to the disk.
  std::memset(at + kAddressOffset + sizeof address, 0, kFrameOffset - kAddressOffset - sizeof address);
  std::memset(at + bytes - kPacketAlignment, 0, kPacketAlignment);
  std::ranges::copy(packet.frame, at + kFrameOffset);
  header_.last_sec = packet.seconds;
  header_.last_nsec = packet.nanoseconds;
  last_ = used_;
  used_ += bytes;
  ++packets_;
  return true;
}

void BlockFiller::Finish() {
  STENO_CHECK(packets_ > 0);
  StoreLe<uint32_t>(block_.data() + last_ + offsetof(tpacket3_hdr, tp_next_offset), 0);
  header_.packet_count = packets_;
  header_.used_bytes = used_;
  // Around the status word, which is the other thread's to look at.
  constexpr size_t kStatus = offsetof(KernelBlockHeader, block_status);
  constexpr size_t kBehind = kStatus + sizeof header_.block_status;
  const auto* from = reinterpret_cast<const uint8_t*>(&header_);
  std::memcpy(block_.data(), from, kStatus);
  std::memcpy(block_.data() + kBehind, from + kBehind, sizeof header_ - kBehind);
  block_ = {};
}

}  // namespace steno
