// PacketView: one recorded packet, in place; and the walk over packets in a piece of a block.
//
// A view borrows the buffer it was parsed from. Pure functions, thread-safe. Every length is checked against
// the buffer: hostile bytes give a shorter walk and an error, never a read outside.
#pragma once

#include <cstdint>
#include <span>

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
  const PacketView* Next();
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_;
  size_t end_;
  uint64_t base_offset_;
  bool done_ = false;
  PacketView view_;
  Status status_;
};

}  // namespace steno
