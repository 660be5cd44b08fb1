#include "query/traffic_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "packet/decode.h"
#include "packet/flow_key.h"
#include "query/time_parse.h"

namespace steno {
namespace {

using By = Grouping::By;
constexpr uint64_t kTagBytes = 4;
constexpr std::string_view kTimePrefix = "time:";

// The values of one packet, each once: a packet from an address to itself counts once for it.
template <class T>
class Distinct {
 public:
  void Add(const T& value) {
    if (std::find(values_.begin(), values_.begin() + size_, value) == values_.begin() + size_)
      values_[static_cast<size_t>(size_++)] = value;
  }
  [[nodiscard]] auto begin() const { return values_.begin(); }
  [[nodiscard]] auto end() const { return values_.begin() + size_; }

 private:
  std::array<T, size_t{2} * kMaxLayers> values_{};
  std::ptrdiff_t size_ = 0;
};

int64_t BucketStart(int64_t time_ns, int64_t bucket_ns) {
  const int64_t into = time_ns % bucket_ns;
  return time_ns - (into < 0 ? into + bucket_ns : into);
}

}  // namespace

Result<Grouping> ParseGrouping(std::string_view text) {
  if (text == "address") return Grouping{By::kAddress, 0};
  if (text == "port") return Grouping{By::kPort, 0};
  if (text == "protocol") return Grouping{By::kProtocol, 0};
  if (text.starts_with(kTimePrefix)) {
    const auto bucket = internal::ParseDuration(text.substr(kTimePrefix.size()), 0);
    if (bucket && *bucket > 0) return Grouping{By::kTime, *bucket};
  }
  return Fail(Error::Invalid("expected address, port, protocol or time: and a duration, as in time:60s"));
}

void TrafficCounts::Add(int64_t time_ns, uint64_t packet_bytes) {
  first_ns = std::min(first_ns, time_ns);
  last_ns = std::max(last_ns, time_ns);
  ++packets;
  bytes += packet_bytes;
}

void TrafficSummary::Add(const PacketView& packet) {
  const uint64_t bytes = packet.original_bytes + (packet.tag.present ? kTagBytes : 0);
  totals_.Add(packet.time_ns, bytes);
  if (grouping_.by == By::kTime) {
    const int64_t start_ns = BucketStart(packet.time_ns, grouping_.bucket_ns);
    return Count(internal::FormatTime(start_ns), packet.time_ns, bytes);
  }
  if (grouping_.by != By::kFlow) {
    Decode(packet.frame, packet.tag, headers_);
    return CountLayers(packet.time_ns, bytes);
  }
  FlowKey key;
  FrameToFlowKey(packet.frame, packet.tag, key);
  std::array<char, 1 + kMaxFlowKeyBytes> bytes_of_key;
  bytes_of_key[0] = static_cast<char>(key.kind);
  std::ranges::copy(key.view(), bytes_of_key.begin() + 1);
  Count({bytes_of_key.data(), size_t{1} + key.size}, packet.time_ns, bytes);
}

// Of a packet with several layers each has its say.
void TrafficSummary::CountLayers(int64_t time_ns, uint64_t bytes) {
  Distinct<Address> addresses;
  Distinct<uint16_t> ports;
  Distinct<uint8_t> protocols;
  for (size_t i = 0; i < headers_.layer_count; ++i) {
    const Layer& layer = headers_.layers[i];
    addresses.Add(layer.src);
    addresses.Add(layer.dst);
    if (layer.has_ports) {
      ports.Add(layer.src_port);
      ports.Add(layer.dst_port);
    }
    if (layer.kind != LayerKind::kArp) protocols.Add(layer.protocol);
  }
  if (grouping_.by == By::kAddress) {
    for (const Address& address : addresses) Count(ToString(address), time_ns, bytes);
  } else if (grouping_.by == By::kPort) {
    for (const uint16_t port : ports) Count(fmt::format("{}", port), time_ns, bytes);
  } else {
    for (const uint8_t protocol : protocols) Count(fmt::format("{}", protocol), time_ns, bytes);
  }
}

void TrafficSummary::Count(std::string_view key, int64_t time_ns, uint64_t bytes) {
  auto found = groups_.find(key);
  if (found == groups_.end()) {
    if (groups_.size() >= limit_) return other_.Add(time_ns, bytes);
    found = groups_.emplace(key, TrafficCounts{}).first;
  }
  found->second.Add(time_ns, bytes);
}

std::vector<TrafficSummary::Group> TrafficSummary::Groups() const {
  std::vector<Group> groups;
  groups.reserve(groups_.size());
  for (const auto& [key, counts] : groups_) groups.push_back({key, counts});
  const bool by_time = grouping_.by == By::kFlow || grouping_.by == By::kTime;
  std::ranges::sort(groups, [&](const Group& a, const Group& b) {
    if (by_time && a.counts.first_ns != b.counts.first_ns) return a.counts.first_ns < b.counts.first_ns;
    if (!by_time && a.counts.bytes != b.counts.bytes) return a.counts.bytes > b.counts.bytes;
    return a.key < b.key;
  });
  return groups;
}

}  // namespace steno
