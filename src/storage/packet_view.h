// PacketView: one recorded packet, in place; and the walk over packets in a piece of a block.
//
// A view borrows the buffer it was parsed from. Pure functions, thread-safe. Every length is checked against
// the buffer: hostile bytes give a shorter walk and an error, never a read outside.
#pragma once

#include <linux/if_packet.h>
#include <net/ethernet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "packet/decode.h"
#include "storage/block_format.h"

namespace steno {

struct PacketView {
  int64_t time_ns = 0;             // since the epoch
  uint32_t original_bytes = 0;     // on the wire (without FCS), without the stripped tag
  std::span<const uint8_t> frame;  // captured bytes, without the stripped tag
  StrippedTag tag;                 // to be put back after the two MAC addresses on output
  uint32_t interface_index = 0;
  uint64_t file_offset = 0;  // of the packet's header in its file: capture order within a file
};

// Walks packet headers from byte `at` of `bytes` while they start before byte `end`. `bytes` is the part of
// the file from `base_offset`, of one block, and may be longer than `end`, so that the last packet is whole.
//   PacketWalk walk(bytes, at, end, base_offset);
//   while (const PacketView* packet = walk.Next()) ...
//   if (!walk.status()) ... // ended by damage, after the good ones
class PacketWalk {
 public:
  PacketWalk(std::span<const uint8_t> bytes, size_t at, size_t end, uint64_t base_offset)
      : bytes_(bytes), at_(at), end_(end), base_offset_(base_offset) {}

  // The next packet, valid until the next call, or null at the end.
  const PacketView* Next() { return Next(view_) ? &view_ : nullptr; }
  // The same, into the caller's variable: what of it is not used is then not even loaded. Inlined: this runs
  // for every packet that is recorded. False at the end, and `view` is not touched.
  bool Next(PacketView& view);
  [[nodiscard]] const Status& status() const { return status_; }
  // So many bytes behind where the next packet is expected; for prefetching only, as it may lie outside.
  [[nodiscard]] const void* Ahead(size_t bytes) const {
    return reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(bytes_.data()) + at_ + bytes);
  }

 private:
  // struct sockaddr_ll follows the packet's header.
  static constexpr size_t kAddressOffset = TPACKET_ALIGN(sizeof(tpacket3_hdr));
  static constexpr size_t kHeaderBytes = kAddressOffset + sizeof(sockaddr_ll);
  static_assert(kAddressOffset == 48 && kHeaderBytes == 68);

  bool Damaged(const char* what);  // false

  std::span<const uint8_t> bytes_;
  size_t at_;
  size_t end_;
  uint64_t base_offset_;
  bool done_ = false;
  PacketView view_;
  Status status_;
};

[[gnu::always_inline]] inline bool PacketWalk::Next(PacketView& view) {
  if (done_ || at_ >= end_) return false;
  if (at_ > bytes_.size() || bytes_.size() - at_ < kHeaderBytes) return Damaged("its header is cut off");
  const uint8_t* const from = bytes_.data() + at_;
  const auto field = [from](size_t offset) { return LoadLe<uint32_t>(from + offset); };
  const auto next = field(offsetof(tpacket3_hdr, tp_next_offset));
  const auto captured = field(offsetof(tpacket3_hdr, tp_snaplen));
  const auto status = field(offsetof(tpacket3_hdr, tp_status));
  const auto frame_at = LoadLe<uint16_t>(from + offsetof(tpacket3_hdr, tp_mac));
  if (frame_at < kHeaderBytes) return Damaged("its frame starts inside its header");
  const uint64_t frame_end = uint64_t{frame_at} + captured;
  if (frame_end > bytes_.size() - at_) return Damaged("its frame is longer than its block");
  if (next != 0 && (next % 8 != 0 || next < frame_end))
    return Damaged("the offset of the next packet is wrong");

  view.time_ns =
      int64_t{field(offsetof(tpacket3_hdr, tp_sec))} * kNsPerSecond + field(offsetof(tpacket3_hdr, tp_nsec));
  view.original_bytes = std::max(field(offsetof(tpacket3_hdr, tp_len)), captured);
  view.frame = {from + frame_at, captured};
  view.tag = {};
  if ((status & TP_STATUS_VLAN_VALID) != 0) {
    view.tag.present = true;
    view.tag.tci = LoadLe<uint16_t>(from + offsetof(tpacket3_hdr, hv1.tp_vlan_tci));
    view.tag.tpid = (status & TP_STATUS_VLAN_TPID_VALID) != 0
                        ? LoadLe<uint16_t>(from + offsetof(tpacket3_hdr, hv1.tp_vlan_tpid))
                        : uint16_t{ETHERTYPE_VLAN};
  }
  view.interface_index = field(kAddressOffset + offsetof(sockaddr_ll, sll_ifindex));
  view.file_offset = base_offset_ + at_;

  done_ = next == 0;
  at_ += next;
  return true;
}

}  // namespace steno
