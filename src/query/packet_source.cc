#include "query/packet_source.h"

#include <algorithm>

#include "query/flow_select.h"

namespace steno {

std::vector<DropMark> DropsIn(std::span<const BlockEntry> blocks, const TimeRange& bounds) {
  std::vector<DropMark> drops;
  for (const BlockEntry& block : blocks) {
    if (block.drops != 0 && Overlaps(bounds, {block.first_ns, block.last_ns}))
      drops.push_back({block.first_ns, block.drops});
  }
  return drops;
}

size_t PacketSources::Find(const PacketOrigin& origin) {
  const auto found = std::ranges::find(
      entries_, origin, [](const Entry& entry) -> const PacketOrigin& { return entry.source.origin; });
  if (found != entries_.end()) return found->source.number;
  entries_.push_back({{entries_.size(), origin, 0, 0}, {}});
  return entries_.size() - 1;
}

void PacketSources::AddDrops(size_t number, std::span<const DropMark> drops) {
  Entry& entry = entries_[number];
  for (const DropMark& mark : drops) {
    entry.source.drops += mark.packets;
    entry.marks.push(mark);
  }
}

const PacketSource& PacketSources::ForPacket(size_t number, int64_t time_ns) {
  Entry& entry = entries_[number];
  entry.source.drops_before = 0;
  for (; !entry.marks.empty() && entry.marks.top().time_ns <= time_ns; entry.marks.pop())
    entry.source.drops_before += entry.marks.top().packets;
  return entry.source;
}

std::vector<PacketSource> PacketSources::All() const {
  std::vector<PacketSource> all;
  for (const Entry& entry : entries_) all.push_back(entry.source);
  return all;
}

}  // namespace steno
