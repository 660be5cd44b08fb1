#include "testing/block_builder.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "storage/packet_file.h"

namespace steno::testing {
namespace {

// Where the kernel puts an Ethernet frame behind its packet header (af_packet.c tpacket_rcv(): the network
// header at TPACKET_ALIGN(68 + 16) = 96, the frame 14 bytes before it).
constexpr uint32_t kFrameOffset = 82;
constexpr uint32_t kNetworkOffset = 96;
constexpr uint32_t kAddressOffset = 48;
static_assert(kAddressOffset == TPACKET_ALIGN(sizeof(tpacket3_hdr)));

tpacket3_hdr MakeHeader(size_t captured, int64_t time_ns, const StrippedTag& tag, uint32_t original_bytes) {
  tpacket3_hdr header{};
  header.tp_sec = static_cast<uint32_t>(time_ns / kNsPerSecond);
  header.tp_nsec = static_cast<uint32_t>(time_ns % kNsPerSecond);
  header.tp_snaplen = static_cast<uint32_t>(captured);
  header.tp_len = original_bytes != 0 ? original_bytes : static_cast<uint32_t>(captured);
  header.tp_status = TP_STATUS_USER;
  header.tp_mac = kFrameOffset;
  header.tp_net = kNetworkOffset;
  if (tag.present) {
    header.tp_status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
    header.hv1.tp_vlan_tci = tag.tci;
    header.hv1.tp_vlan_tpid = tag.tpid;
  }
  return header;
}

sockaddr_ll MakeAddress(std::span<const uint8_t> frame, uint32_t interface_index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(interface_index);
  address.sll_hatype = 1;  // ARPHRD_ETHER
  address.sll_halen = 6;
  if (frame.size() >= 14) {
    std::memcpy(&address.sll_protocol, frame.data() + 12, 2);
    std::memcpy(address.sll_addr, frame.data() + 6, 6);
  }
  return address;
}

}  // namespace

BlockBuilder::BlockBuilder(uint32_t block_bytes) : bytes_(block_bytes) {
  STENO_CHECK(block_bytes >= kDiskAlignment && block_bytes <= kMaxBlockBytes &&
              block_bytes % kDiskAlignment == 0);
}

bool BlockBuilder::Add(std::span<const uint8_t> frame, int64_t time_ns, const StrippedTag& tag,
                       uint32_t original_bytes, uint32_t interface_index) {
  const size_t total = AlignUp(kFrameOffset + frame.size(), 8);
  if (used_ + total > bytes_.size()) return false;
  if (packets_ > 0) StoreLe(bytes_.data() + last_, static_cast<uint32_t>(used_ - last_));  // tp_next_offset
  const tpacket3_hdr header = MakeHeader(frame.size(), time_ns, tag, original_bytes);
  const sockaddr_ll address = MakeAddress(frame, interface_index);
  uint8_t* const at = bytes_.data() + used_;
  std::memset(at, 0, total);
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + kAddressOffset, &address, sizeof address);
  std::copy(frame.begin(), frame.end(), at + kFrameOffset);
  if (packets_ == 0) first_packet_ns_ = time_ns;
  first_ns_ = packets_ == 0 ? time_ns : std::min(first_ns_, time_ns);
  last_ns_ = packets_ == 0 ? time_ns : std::max(last_ns_, time_ns);
  last_ = used_;
  used_ += total;
  ++packets_;
  return true;
}

std::span<uint8_t> BlockBuilder::Block() {
  KernelBlockHeader header{};
  header.version = 2;
  header.private_offset = kKernelHeaderBytes;
  header.block_status = TP_STATUS_USER;
  header.packet_count = packets_;
  header.first_packet_offset = kFirstPacketOffset;
  header.used_bytes = static_cast<uint32_t>(used_);
  header.opened_sec = static_cast<uint32_t>(first_ns_ / kNsPerSecond);
  header.opened_nsec = static_cast<uint32_t>(first_ns_ % kNsPerSecond);
  header.last_sec = static_cast<uint32_t>(last_ns_ / kNsPerSecond);
  header.last_nsec = static_cast<uint32_t>(last_ns_ % kNsPerSecond);
  std::memset(bytes_.data(), 0, kFirstPacketOffset);
  std::memcpy(bytes_.data(), &header, sizeof header);
  return {bytes_.data(), used_};
}

std::vector<uint8_t> BlockBuilder::Finish(uint64_t file_id, uint64_t file_tag, uint64_t file_offset,
                                          uint64_t sequence, uint64_t drops, uint16_t thread) {
  const std::span<uint8_t> block = Block();
  BlockHeader header{};
  header.magic = kBlockMagic;
  header.version = kBlockVersion;
  header.file_id = file_id;
  header.file_tag = file_tag;
  header.file_offset = file_offset;
  header.block_sequence = sequence;
  header.first_ns = enclosing_ ? first_packet_ns_ - kEnclosingSlackNs : first_ns_;
  header.last_ns = enclosing_ ? last_ns_ + kEnclosingSlackNs : last_ns_;
  header.flags = enclosing_ ? kBlockEnclosingTimes : 0u;
  header.packet_count = packets_;
  header.used_bytes = static_cast<uint32_t>(used_);
  header.disk_bytes = static_cast<uint32_t>(AlignUp(used_, kDiskAlignment));
  header.drops = drops;
  header.drops_total = drops;
  header.interface_index = 1;
  header.link_type = 1;
  header.thread = thread;
  std::strncpy(header.interface_name, "test0", sizeof header.interface_name - 1);
  SealBlockHeader(header);
  std::memcpy(block.data() + kKernelHeaderBytes, &header, sizeof header);
  std::vector<uint8_t> padded(header.disk_bytes);
  std::copy(block.begin(), block.end(), padded.begin());
  return padded;
}

std::vector<uint8_t> BlockBuilder::FinishForeign() {
  constexpr size_t kForeignBytes = 1 << 20;
  const std::span<uint8_t> ours = Block();
  STENO_CHECK(ours.size() - kPrivateHeaderBytes <= kForeignBytes);
  KernelBlockHeader header;
  std::memcpy(&header, ours.data(), sizeof header);
  header.first_packet_offset = kKernelHeaderBytes;
  header.used_bytes -= kPrivateHeaderBytes;
  std::vector<uint8_t> block(kForeignBytes);
  std::memcpy(block.data(), &header, sizeof header);
  std::copy(ours.begin() + kFirstPacketOffset, ours.end(), block.begin() + kKernelHeaderBytes);
  return block;
}

void BlockBuilder::Clear() {
  used_ = kFirstPacketOffset;
  last_ = 0;
  packets_ = 0;
  first_ns_ = 0;
  last_ns_ = 0;
}

}  // namespace steno::testing
