#include "index/google_v2_gaps.h"
#include "base/interrupt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>
#include <utility>

#include "index/google_v2_table.h"
#include "index/segment.h"
#include "packet/decode.h"
#include "packet/wire.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

constexpr uint64_t kMaxGranules = uint64_t{1} << 24;  // 256 GiB; positions have 32 bits, so files 4 GiB

// The kernel aligns packets in a block to this (V3_ALIGNMENT in net/packet/af_packet.c).
constexpr uint32_t kPacketAlignment = 8;

// One bit for each place of the file at which a packet can start.
class Positions {
 public:
  explicit Positions(uint32_t granules) : bits_(granules * (kGranuleBytes / kPacketAlignment / 64)) {}

  [[nodiscard]] bool CanHold(uint64_t position) const {
    return position % kPacketAlignment == 0 && Word(position) < bits_.size();
  }
  [[nodiscard]] bool Has(uint64_t position) const {
    return CanHold(position) && (bits_[Word(position)] & Bit(position)) != 0;
  }
  void Add(uint32_t position) { bits_[Word(position)] |= Bit(position); }
  void Remove(uint32_t position) { bits_[Word(position)] &= ~Bit(position); }
  void Clear() { std::ranges::fill(bits_, 0); }
  [[nodiscard]] bool AnyIn(uint32_t granule) const {
    constexpr size_t kWords = kGranuleBytes / kPacketAlignment / 64;
    const auto first = bits_.begin() + static_cast<std::ptrdiff_t>(granule * kWords);
    return std::any_of(first, first + kWords, [](uint64_t word) { return word != 0; });
  }

 private:
  static size_t Word(uint64_t position) { return position / kPacketAlignment / 64; }
  static uint64_t Bit(uint64_t position) { return uint64_t{1} << (position / kPacketAlignment % 64); }
  std::vector<uint64_t> bits_;
};

uint32_t GranuleOf(uint64_t position) { return static_cast<uint32_t>(position / kGranuleBytes); }

class GapFinder {
 public:
  GapFinder(const GoogleTable& table, const PacketFile& file, GoogleGaps& gaps, uint32_t granules)
      : table_(table), file_(file), gaps_(gaps), granules_(granules), positions_(granules) {}

  Status FindPortless();
  Status FindUnlisted();

 private:
  // Calls visit(position) for the packets of the keys, which must be places of this file.
  template <class Visit>
  Status Scan(const std::string& first, const std::string& last, Visit visit) const;
  Status ReadBlock(BlockEntry& block);
  void Note(uint64_t position);
  void Classify(const PacketView& packet);

  const GoogleTable& table_;
  const PacketFile& file_;
  GoogleGaps& gaps_;
  const uint32_t granules_;
  Positions positions_;
  std::vector<uint8_t> bytes_;
};

template <class Visit>
Status GapFinder::Scan(const std::string& first, const std::string& last, Visit visit) const {
  bool outside = false;
  STENO_CHECK_OK(table_.Scan(first, last, [&](uint32_t position) {
    positions_.CanHold(position) ? visit(position) : void(outside = true);
  }));
  if (!outside) return {};
  return Fail(Error::Corrupt(table_.path() + ": it names places at which its packet file has no packets"));
}

Status GapFinder::FindPortless() {
  for (const uint8_t protocol : {wire::kIpTcp, wire::kIpUdp}) {
    const std::string key = GoogleKey(kProtocolKey, protocol, 1);
    STENO_CHECK_OK(Scan(key, key, [&](uint32_t position) { positions_.Add(position); }));
  }
  STENO_CHECK_OK(Scan(GoogleKey(kPortKey, 0, 2), GoogleKey(kPortKey, 65535, 2),
                      [&](uint32_t position) { positions_.Remove(position); }));
  for (uint32_t granule = 0; granule < granules_; ++granule) {
    if (positions_.AnyIn(granule)) gaps_.portless.Add(granule);
  }
  return {};
}

Status GapFinder::FindUnlisted() {
  positions_.Clear();
  std::vector<uint32_t> listed(gaps_.blocks.size());
  // Every packet with a whole IP header is in the list of one protocol, once.
  STENO_CHECK_OK(Scan(GoogleKey(kProtocolKey, 0, 1), GoogleKey(kProtocolKey, 255, 1), [&](uint32_t position) {
    positions_.Add(position);
    Note(position);
    const auto behind =
        std::ranges::upper_bound(gaps_.blocks, uint64_t{position}, {}, &BlockEntry::file_offset);
    if (behind != gaps_.blocks.begin()) ++listed[static_cast<size_t>(behind - gaps_.blocks.begin()) - 1];
  }));
  for (size_t i = 0; i < gaps_.blocks.size(); ++i) {
    if (listed[i] != gaps_.blocks[i].packet_count) STENO_CHECK_OK(ReadBlock(gaps_.blocks[i]));
  }
  return {};
}

Status GapFinder::ReadBlock(BlockEntry& block) {
  STENO_CHECK_OK(CheckInterrupt());
  bytes_.resize(block.used_bytes);
  STENO_CHECK_OK(file_.Read(bytes_, block.file_offset));
  KernelBlockHeader header;
  if (bytes_.size() < sizeof header) {
    block.flags |= kBlockUnindexed;
    return {};
  }
  std::memcpy(&header, bytes_.data(), sizeof header);
  PacketWalk walk(bytes_, header.first_packet_offset, bytes_.size(), block.file_offset);
  while (const PacketView* packet = walk.Next()) {
    if (positions_.Has(packet->file_offset)) continue;
    Note(packet->file_offset);
    Classify(*packet);
  }
  if (!walk.status()) block.flags |= kBlockUnindexed;
  return {};
}

void GapFinder::Note(uint64_t position) {
  uint16_t& first = gaps_.first_packet[GranuleOf(position)];
  first = std::min(first, static_cast<uint16_t>(position % kGranuleBytes));
}

void GapFinder::Classify(const PacketView& packet) {
  PacketHeaders headers;
  Decode(packet.frame, packet.tag, headers);
  const std::span layers = std::span(headers.layers).first(headers.layer_count);
  const auto is_arp = [](const Layer& layer) { return layer.kind == LayerKind::kArp; };
  const uint32_t granule = GranuleOf(packet.file_offset);
  if (headers.truncated_layers || !std::ranges::all_of(layers, is_arp)) {
    gaps_.unlisted.Add(granule);
  } else if (!layers.empty() || headers.ether_type == wire::kEtherArp) {
    gaps_.arp.Add(granule);
  }
}

}  // namespace

uint64_t CountGranules(std::span<const BlockEntry> blocks) {
  uint64_t end = 0;
  for (const BlockEntry& block : blocks) end = std::max(end, block.file_offset + block.used_bytes);
  return (end + kGranuleBytes - 1) / kGranuleBytes;
}

uint64_t GoogleGaps::bytes() const {
  return first_packet.size() * sizeof(uint16_t) + (unlisted.size() + arp.size() + portless.size()) / 8;
}

void GoogleGaps::Shrink() {
  for (BlockEntry& block : blocks) {
    const uint32_t end = GranuleOf(block.file_offset + block.used_bytes + kGranuleBytes - 1);
    for (uint32_t granule = GranuleOf(block.file_offset); granule < end; ++granule) {
      if (unlisted.Has(granule) || arp.Has(granule) || portless.Has(granule)) block.flags |= kBlockUnindexed;
    }
  }
  for (FlowSet* set : {&unlisted, &arp, &portless}) *set = FlowSet();
  first_packet = {};
}

Result<GoogleGaps> FindGoogleGaps(const std::string& index_path, const PacketFile& file,
                                  std::vector<BlockEntry> blocks) {
  static std::mutex one_at_a_time;
  STENO_TRY(const auto lock, LockInterruptibly(one_at_a_time));
  STENO_TRY(const auto table, GoogleTable::Open(index_path));
  const uint64_t count = CountGranules(blocks);
  if (count > kMaxGranules)
    return Fail(Error::Unsupported(file.path() + ": too large for the index that it has"));
  const auto granules = static_cast<uint32_t>(count);
  GoogleGaps gaps{.blocks = std::move(blocks),
                  .unlisted = FlowSet(granules),
                  .arp = FlowSet(granules),
                  .portless = FlowSet(granules),
                  .first_packet = std::vector<uint16_t>(granules, kNoPacketInGranule)};
  GapFinder finder(*table, file, gaps, granules);
  STENO_CHECK_OK(finder.FindPortless());
  STENO_CHECK_OK(finder.FindUnlisted());
  return gaps;
}

}  // namespace steno
