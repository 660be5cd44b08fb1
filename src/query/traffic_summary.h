// Counts instead of packets: the flows that match, or what they add up to by address, port, protocol or time.
//
// Not thread-safe; one per query. Exact: every matching packet counts. At most `limit` groups are kept; the
// packets of those that came later are counted together, as "other".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "packet/headers.h"
#include "storage/packet_view.h"

namespace steno {

struct Grouping {
  enum class By : uint8_t { kFlow, kAddress, kPort, kProtocol, kTime };
  By by = By::kFlow;
  int64_t bucket_ns = 0;  // kTime
};

// "address", "port", "protocol" or "time:60s". kInvalid lists them.
Result<Grouping> ParseGrouping(std::string_view text);

struct TrafficCounts {
  int64_t first_ns = INT64_MAX;
  int64_t last_ns = INT64_MIN;
  uint64_t packets = 0;
  uint64_t bytes = 0;  // on the wire, with the tags that the kernel took out

  void Add(int64_t time_ns, uint64_t packet_bytes);
};

class TrafficSummary {
 public:
  explicit TrafficSummary(const Grouping& grouping, size_t limit = 10'000)
      : grouping_(grouping), limit_(limit) {}

  void Add(const PacketView& packet);

  // What a group is: of a flow its key (a FlowKind and the bytes of a FlowKey), of others their text.
  struct Group {
    std::string key;
    TrafficCounts counts;
  };
  // Flows and times by their first packet, others by bytes, the most first.
  [[nodiscard]] std::vector<Group> Groups() const;
  [[nodiscard]] const TrafficCounts& totals() const { return totals_; }
  [[nodiscard]] const TrafficCounts& other() const { return other_; }
  [[nodiscard]] const Grouping& grouping() const { return grouping_; }

 private:
  void Count(std::string_view key, int64_t time_ns, uint64_t bytes);
  void CountLayers(int64_t time_ns, uint64_t bytes);

  // Look-ups without a string.
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  const Grouping grouping_;
  const size_t limit_;
  PacketHeaders headers_;
  TrafficCounts totals_;
  TrafficCounts other_;
  std::unordered_map<std::string, TrafficCounts, Hash, std::equal_to<>> groups_;
};

}  // namespace steno
