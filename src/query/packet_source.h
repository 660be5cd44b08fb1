// Where packets were captured, and what was lost there: one PacketSource per interface and capture thread.
//
// Not thread-safe; a query has one PacketSources.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "storage/block_format.h"

namespace steno {

struct TimeRange;

// What a packet file says about the origin of its packets.
struct PacketOrigin {
  std::string interface_name;  // empty: not known (files of the incumbent)
  uint32_t thread = 0;         // the number of its directory
  uint16_t link_type = 1;
  uint32_t snaplen = 0;  // 0: whole packets
  bool operator==(const PacketOrigin&) const = default;
};

// Packets that were lost before a block whose first packet is of `time_ns`.
struct DropMark {
  int64_t time_ns;
  uint64_t packets;
  auto operator<=>(const DropMark&) const = default;
};

// Of the blocks of which some packet may be inside `bounds`.
std::vector<DropMark> DropsIn(std::span<const BlockEntry> blocks, const TimeRange& bounds);

struct PacketSource {
  size_t number = 0;  // from 0, within a query
  PacketOrigin origin;
  uint64_t drops = 0;         // all that is known of so far
  uint64_t drops_before = 0;  // since the last packet of this source that was handed on, before this one
};

class PacketSources {
 public:
  // The number of the source; a new one if there is none.
  size_t Find(const PacketOrigin& origin);
  void AddDrops(size_t number, std::span<const DropMark> drops);
  // The source with `drops_before` for its next packet, which is of `time_ns`. Valid until the next call.
  const PacketSource& ForPacket(size_t number, int64_t time_ns);

  [[nodiscard]] std::vector<PacketSource> All() const;

 private:
  struct Entry {
    PacketSource source;
    std::priority_queue<DropMark, std::vector<DropMark>, std::greater<>> marks;  // before no packet so far
  };
  std::deque<Entry> entries_;
};

}  // namespace steno
