#include "storage/packet_view.h"

#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"

namespace steno {
namespace {

constexpr size_t kHeaderBytes = sizeof(tpacket3_hdr);
constexpr size_t kAddressOffset = TPACKET_ALIGN(sizeof(tpacket3_hdr));
constexpr size_t kFullHeaderBytes = kAddressOffset + sizeof(sockaddr_ll);
static_assert(kHeaderBytes == 48 && kAddressOffset == 48 && kFullHeaderBytes == 68);

}  // namespace

const PacketView* PacketWalk::Next() {
  if (done_ || at_ >= end_) return nullptr;
  const auto fail = [this](const char* what) -> const PacketView* {
    done_ = true;
    status_ = Fail(Error::Corrupt(fmt::format("packet at byte {}: {}", base_offset_ + at_, what)));
    return nullptr;
  };
  if (at_ > bytes_.size() || bytes_.size() - at_ < kFullHeaderBytes) return fail("its header is cut off");
  const size_t room = bytes_.size() - at_;
  const uint8_t* const from = bytes_.data() + at_;
  tpacket3_hdr header;
  std::memcpy(&header, from, sizeof header);
  if (header.tp_mac < kFullHeaderBytes) return fail("its frame starts inside its header");
  const uint64_t frame_end = uint64_t{header.tp_mac} + header.tp_snaplen;
  if (frame_end > room) return fail("its frame is longer than its block");
  if (header.tp_next_offset != 0) {
    if (header.tp_next_offset % 8 != 0 || header.tp_next_offset < frame_end) {
      return fail("the offset of the next packet is wrong");
    }
  }

  view_.time_ns = int64_t{header.tp_sec} * kNsPerSecond + header.tp_nsec;
  view_.original_bytes = std::max(header.tp_len, header.tp_snaplen);
  view_.frame = {from + header.tp_mac, header.tp_snaplen};
  view_.tag.present = (header.tp_status & TP_STATUS_VLAN_VALID) != 0;
  view_.tag.tci = static_cast<uint16_t>(view_.tag.present ? header.hv1.tp_vlan_tci : 0);
  const bool tpid_valid = view_.tag.present && (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
  view_.tag.tpid = tpid_valid ? header.hv1.tp_vlan_tpid : uint16_t{ETHERTYPE_VLAN};
  std::memcpy(&view_.interface_index, from + kAddressOffset + offsetof(sockaddr_ll, sll_ifindex),
              sizeof view_.interface_index);
  view_.file_offset = base_offset_ + at_;

  if (header.tp_next_offset == 0) done_ = true;
  at_ += header.tp_next_offset;
  return &view_;
}

}  // namespace steno
