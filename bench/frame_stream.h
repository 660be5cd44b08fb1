// Traffic for benchmarks: endless streams of frames of several kinds, and the ring blocks that they fill. The
// same kind always gives the same frames. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "testing/block_builder.h"

namespace steno::bench {

class Traffic {
 public:
  virtual ~Traffic() = default;
  // The next frame, valid until the next call.
  virtual std::span<const uint8_t> Next() = 0;
};

using TrafficPtr = std::unique_ptr<Traffic>;

// Conversations between hosts of which few have most, in frames of sizes drawn from a list.
struct Conversations {
  uint32_t flows;
  std::vector<uint32_t> frame_bytes;
  bool ipv6 = false;
  bool vxlan = false;
  uint64_t packets_per_round =
      1'000'000;  // in so many packets a window of active flows moves over all of them
};
TrafficPtr MakeConversations(const Conversations& conversations);

// TCP SYNs of 60 bytes to one service, each from a random address and port.
TrafficPtr MakeFlood(bool ipv6);

// The packets of all captures under a directory in the order of their times, over and over; each round has
// IPv4 addresses of its own. Null if there are no captures.
TrafficPtr MakeMix(const std::string& directory);
// $STENO_CAPTURES, or ../shared/pcaps beside the source tree.
std::string MixDirectory();

// The simple Internet mix: 7 frames of 60 bytes, 4 of 594, 1 of 1514.
std::vector<uint32_t> ImixBytes();

// Ring blocks full of a stream.
class BlockStream {
 public:
  explicit BlockStream(TrafficPtr traffic) : traffic_(std::move(traffic)) {}
  // The next block as the kernel hands it over, used bytes only; valid until the next call.
  std::span<const uint8_t> Next();
  [[nodiscard]] uint32_t packets() const { return packets_; }  // in that block

 private:
  TrafficPtr traffic_;
  testing::BlockBuilder block_;
  std::optional<std::vector<uint8_t>> left_over_;  // did not fit in the block before
  uint32_t packets_ = 0;
  int64_t time_ns_ = 1'700'000'000'000'000'000;
};

}  // namespace steno::bench
