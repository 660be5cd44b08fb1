// StreamSource: packets from streams of captured packets (files, a peer's connection) in a ring of blocks, as
// if the kernel had filled it.
//
// A thread of its own reads the streams and fills blocks; a block is handed over when it is full, when it is
// kHandOverNs old, and at the end of its stream, so that a block has one origin. When the ring is full the
// thread waits for blocks to come back: nothing is lost, and a peer is held up by its connection's flow
// control. Times are those of the streams, in any order.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "capture/block_filler.h"
#include "capture/log_limiter.h"
#include "capture/packet_source.h"
#include "capture/stop_event.h"
#include "capture/stream_feed.h"
#include "capture/user_filter.h"
#include "pcap/pcap_reader.h"

namespace steno {

struct StreamOptions {
  uint32_t block_bytes = kDefaultBlockBytes;
  uint32_t block_count = 64;
  FilterProgram filter;  // empty: every packet
};

class StreamSource final : public PacketSource {
 public:
  static constexpr int64_t kHandOverNs = 100 * kNsPerMs;

  static Result<std::unique_ptr<StreamSource>> Create(const StreamOptions& options,
                                                      std::unique_ptr<StreamFeed> feed);
  ~StreamSource() override;  // waits for the reading thread
  StreamSource(const StreamSource&) = delete;
  StreamSource& operator=(const StreamSource&) = delete;

  Status OpenGate() override;   // starts reading; once
  Status CloseGate() override;  // the packet at hand is the last
  [[nodiscard]] int fd() const override { return handed_over_.get(); }
  void Return(uint32_t block) override;
  Result<SourceStatistics> ReadStatistics() override;
  Status Check(bool& lost) override;
  [[nodiscard]] bool exhausted() const override { return ended_.load(std::memory_order_acquire); }
  // Reading reacts to the stop at once, unless a disk holds it up.
  [[nodiscard]] int64_t last_block_ns() const override { return kNsPerSecond; }
  [[nodiscard]] BlockOrigin Origin(uint32_t block) const override { return origins_[block]; }
  [[nodiscard]] Status outcome() const override;

 private:
  class Input;

  StreamSource(UserFilter filter, std::unique_ptr<StreamFeed> feed)
      : filter_(std::move(filter)), feed_(std::move(feed)) {}

  // All below are the reading thread's.
  void Run();
  void ReadStream(PacketStream stream);
  Status ReadPackets(PcapReader& reader);
  Result<size_t> ReadBytes(int fd, std::span<uint8_t> into);
  bool Take(const CapturedPacket& packet);
  void SkipForeign(const CapturedPacket& packet);
  PacketToFill Fit(const CapturedPacket& packet, std::span<const uint8_t> frame);
  bool BeginBlock();
  void HandOver();

  const UserFilter filter_;
  const std::unique_ptr<StreamFeed> feed_;
  StopEvent stop_;
  UniqueFd handed_over_;  // eventfd: a block was handed over, or reading has ended
  UniqueFd returned_;     // eventfd: a block was returned
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> packets_{0};  // the statistics, since they were last read
  std::atomic<uint64_t> freezes_{0};
  std::atomic<uint64_t> skipped_{0};

  BlockFiller filler_;
  std::vector<BlockOrigin> origins_;  // by block; read by the block's owner
  uint32_t next_ = 0;                 // the block that is being filled, or will be
  uint64_t sequence_ = 0;
  int64_t opened_ns_ = 0;  // monotonic, of the block that is being filled
  uint64_t filled_ = 0;    // packets in it
  BlockOrigin origin_;     // of the stream that is being read
  std::string stream_name_;
  StreamCounts counts_;  // of it
  LogLimiter foreign_log_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace steno
