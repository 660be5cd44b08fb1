// Arena: the memory that stenotype shares with stenographer, one per capture thread: counters and live
// segments.
//
// stenographer creates it (a sealed memfd) and passes the descriptor to stenotype; the reader treats its
// content as untrusted and clamps what it reads. Counters are written by their one owner with relaxed stores
// and only grow.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "index/segment.h"

namespace steno {

inline constexpr uint64_t kArenaMagic = 0x314E4552414E5453;  // "STNAREN1"
inline constexpr uint32_t kArenaVersion = 3;
inline constexpr unsigned kArenaSegments = 2;  // one active, one sealing

using Counter = std::atomic<uint64_t>;

// Upper bounds of the buckets in which the durations of writes are counted; the last bucket is for the rest.
inline constexpr std::array<int64_t, 12> kLatencyBoundsNs = {
    250'000,    500'000,    1'000'000,   2'500'000,   5'000'000,     10'000'000,
    25'000'000, 50'000'000, 100'000'000, 250'000'000, 1'000'000'000, 5'000'000'000};

// The disk_errno of a disk that neither fails nor completes anything.
inline constexpr int kDiskStalled = ETIMEDOUT;

// Totals since stenotype started, unless said otherwise.
struct CaptureCounters {
  Counter packets;            // taken from the ring
  Counter bytes;              // their captured bytes
  Counter stored_packets;     // in blocks whose write has completed
  Counter stored_bytes;       // bytes written to packet files, headers and padding included
  Counter ring_drops;         // PACKET_STATISTICS tp_drops
  Counter ring_freezes;       // times the ring became full
  Counter write_error_drops;  // packets in blocks that could not be written
  Counter filtered_outgoing;  // packets left out by direction
  Counter blocks;             // ring blocks taken
  Counter disk_blocks;        // blocks written
  Counter wakeups;
  Counter files;             // published
  Counter index_full;        // files rotated early because a segment was full
  Counter unindexed_blocks;  // blocks written without index
  Counter raw_indexes;       // written raw, because sealing would have taken too long
  Counter flows;             // inserted
  Counter write_errors;
  Counter prepare_failures;  // the next file could not be made
  Counter seal_failures;
  Counter write_latency_max_ns;  // since the last statistics line
  Counter ring_blocks_used;      // now: blocks that the kernel has handed over and that are not back
  Counter ring_blocks_total;
  Counter heartbeat_ns;       // CLOCK_MONOTONIC of the capture thread's latest turn
  Counter started_ns;         // wall clock
  Counter last_packet_ns;     // wall clock, of the latest packet
  Counter source_lost;        // now, 1: no packet can come (the interface, the peer is gone)
  Counter ring_drops_second;  // of ring_drops, those of the latest second
  // Lost before any ring, by the process' interface and by the kernel; counted by its first thread only.
  Counter nic_drops;              // the interface's rx_missed_errors
  Counter rx_dropped;             // the interface's; not all of them are lost
  Counter softnet_drops;          // "dropped" of /proc/net/softnet_stat, of all interfaces
  Counter skipped_packets;        // of a stream: of another link type than Ethernet
  Counter removed_packets;        // in files that somebody removed while they were written
  Counter sync_errors;            // written data could not be made durable
  Counter disk_errno;             // now: why packets cannot be written; 0: they can
  Counter disk_trouble_since_ns;  // wall clock; 0: no trouble
  Counter disk_trouble_drops;     // packets lost in the present trouble, or in the latest
  Counter disk_troubles;          // how often there was trouble
  Counter write_latency_sum_ns;   // of all writes, from their submission to their completion
  std::array<Counter, kLatencyBoundsNs.size() + 1> write_latency;  // writes by duration
};
static_assert(sizeof(CaptureCounters) % sizeof(Counter) == 0 && std::is_standard_layout_v<CaptureCounters>);

// All of them, as their owner resets them.
inline std::span<Counter> AllCounters(CaptureCounters& counters) {
  return {reinterpret_cast<Counter*>(&counters), sizeof counters / sizeof(Counter)};
}

struct alignas(4096) ArenaHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t segment_count;
  uint64_t segment_bytes;
  std::atomic<uint32_t> pid;  // of the stenotype that uses it
  uint32_t thread;
  CaptureCounters counters;
};
static_assert(sizeof(ArenaHeader) == 4096);

class Arena {
 public:
  // A new arena in an anonymous memory file.
  static Result<Arena> Create(uint32_t thread);
  // Maps the arena behind `fd` (a duplicate is kept). kCorrupt if magic, version or size are not ours.
  static Result<Arena> Attach(int fd, bool writable);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] ArenaHeader& header() const { return *header_; }
  [[nodiscard]] CaptureCounters& counters() const { return header_->counters; }
  [[nodiscard]] std::span<uint8_t> memory() const { return mapping_.bytes(); }
  // REQUIRES: index < kArenaSegments.
  [[nodiscard]] const SegmentMemory& segment(unsigned index) const { return segments_[index]; }

 private:
  UniqueFd fd_;
  Mapping mapping_;
  ArenaHeader* header_ = nullptr;
  std::array<SegmentMemory, kArenaSegments> segments_;
};

}  // namespace steno
