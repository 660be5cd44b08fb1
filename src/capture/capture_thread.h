// CaptureThread: takes blocks from one source and has them written. The loop that must never wait for
// anything but packets.
//
// Everything that can fail or needs privileges is handed in ready-made; Start() then only runs the loop on a
// thread of its own. Stop() lets what has arrived reach the disk: the source is closed, its last block comes,
// files are completed. On the steady path: one clock reading per turn, no allocation, no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "capture/block_gatherer.h"
#include "capture/block_writer.h"
#include "capture/log_limiter.h"
#include "capture/packet_limit.h"
#include "capture/packet_source.h"

namespace steno {

struct CaptureThreadOptions {
  BlockWriterOptions writer;  // slots is filled in
  std::string source_name;    // in messages: "interface eth0"
  int64_t gather_age_ns = kNsPerSecond;
  uint64_t stats_blocks = 0;  // debug lines about the fill of blocks; 0: none
  int cpu = -1;               // pinned to; -1: anywhere
};

class CaptureThread {
 public:
  // The source is closed until Start(). `on_event` is called on the thread when it needs the recorder's
  // attention: the packet limit was reached, or it ended.
  struct Parts {
    std::unique_ptr<PacketSource> source;
    BlockGatherer gatherer;
    std::unique_ptr<IoEngine> engine;
    IndexBuilder builder;
    Arena& arena;
    PacketLimit& limit;
    std::function<void()> on_event;
  };

  static Result<std::unique_ptr<CaptureThread>> Create(CaptureThreadOptions options, Parts parts);
  ~CaptureThread();  // stops and waits
  CaptureThread(const CaptureThread&) = delete;
  CaptureThread& operator=(const CaptureThread&) = delete;

  // Opens the source and runs. `preparer` and `sealing` must outlive the thread. Once.
  Status Start(FilePreparer& preparer, SealingThread& sealing);

  void Stop();  // returns at once; from any thread
  void Join();
  [[nodiscard]] bool ended() const { return ended_.load(std::memory_order_acquire); }
  // Why the thread ended by itself, or which packets its source could not give; else ok. REQUIRES: joined.
  [[nodiscard]] const Status& outcome() const { return outcome_; }

 private:
  CaptureThread(CaptureThreadOptions options, Parts parts);
  Status Init();
  Status Watch(int fd);

  void Run();
  bool Turn();
  void ReapWrites();
  bool TakeBlocks();
  uint32_t TakeAnnounced(uint32_t count);
  uint32_t LookAhead(uint32_t most);
  bool TakeBlock(uint32_t block);
  bool TakeHead(uint32_t block);
  bool Gather(uint32_t block, uint32_t used_bytes);
  bool FlushGathered();
  bool WriteRingBlock(uint32_t block);
  void ReleaseBlock(uint32_t block);
  void ReadStatistics();
  void EverySecond();
  void CheckSource();
  void LogBlockFill(uint32_t used_bytes);
  void BeginStop();
  [[nodiscard]] bool Finished();
  void GiveUpRing();
  void Wait(bool more);
  [[nodiscard]] int64_t PauseNs(bool more) const;
  // The source's latest word is that the block is full; it has not been taken yet. (A block in flight still
  // carries the status of one that was handed over.)
  [[nodiscard]] bool HandedOver(uint32_t block) const {
    return held_[block] == 0 && ring_.OwnedByUser(block);
  }
  [[nodiscard]] int TimeoutMs() const;
  [[nodiscard]] uint32_t WaitingBlocks() const;

  const CaptureThreadOptions options_;
  const std::unique_ptr<PacketSource> source_;
  PacketSource& ring_;  // *source_
  BlockGatherer gatherer_;
  BlockOrigin gathered_origin_;  // of the blocks in it
  std::unique_ptr<IoEngine> engine_;
  IndexBuilder builder_;
  Arena& arena_;
  PacketLimit& limit_;
  const std::function<void()> on_event_;
  CaptureCounters& counters_;
  std::optional<BlockWriter> writer_;
  UniqueFd epoll_;
  UniqueFd stop_fd_;

  std::vector<uint8_t> held_;  // by ring block: taken and not yet returned
  uint32_t held_count_ = 0;
  uint32_t next_ = 0;        // the block that the kernel hands over next
  bool head_taken_ = false;  // TakeHead() has seen block next_; it was then refused
  bool blocked_ = false;     // block next_ waits for a file or for the engine
  int64_t now_ns_ = 0;
  int64_t took_ns_ = 0;      // when blocks were taken last
  bool busy_link_ = false;   // the latest blocks came so soon after those before that a pause pays
  const int64_t gather_ns_;  // for blocks to gather
  const int64_t drain_ns_;   // for a full queue of writes to drain
  int64_t second_ns_ = 0;    // when EverySecond() is due
  int64_t stop_ns_ = 0;      // when BeginStop() was called; 0: running
  bool flushed_ = false;     // stopping: the ring is empty, the last file is closed
  uint64_t fill_blocks_ = 0;
  uint64_t fill_bytes_ = 0;
  uint64_t second_drops_ = 0;  // ring_drops when the current second began
  LogLimiter statistics_log_;
  bool source_lost_ = false;
  LogLimiter source_log_;

  std::atomic<bool> ended_{false};
  Status outcome_;
  std::thread thread_;
};

}  // namespace steno
