// StreamFeed: the streams of captured packets that a StreamSource reads, one after another: files, or the
// connections to a peer.
//
// Next() and Ended() are called by the reading thread, in turn; the rest by any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "capture/packet_source.h"
#include "capture/stop_event.h"

namespace steno {

// The bytes of one pcap or pcapng file.
struct PacketStream {
  UniqueFd fd;         // a file, pipe or socket; blocking or not
  std::string name;    // in messages
  BlockOrigin origin;  // its name is the feed's
};

// What became of the packets of one stream.
struct StreamCounts {
  uint64_t recorded = 0;
  uint64_t filtered = 0;           // refused by --filter
  uint64_t foreign = 0;            // of another link type than Ethernet: left out
  uint64_t cut = 0;                // recorded, but longer than a block
  uint64_t untimely = 0;           // recorded, but their time is none that a block can hold
  uint16_t foreign_link_type = 0;  // of the first
};

class StreamFeed {
 public:
  virtual ~StreamFeed() = default;

  // The next stream, or nothing: the end, or a stop. May wait.
  virtual std::optional<PacketStream> Next(const StopEvent& stop) = 0;
  // How reading the stream of the last Next() went; kCancelled if it was stopped.
  virtual void Ended(const Status& how, const StreamCounts& counts) = 0;

  // There is no stream now, though there should be.
  [[nodiscard]] virtual bool lost() const { return false; }
  // After the end: an error if packets are missing that should have been read.
  [[nodiscard]] virtual Status outcome() const { return {}; }
};

}  // namespace steno
