// TPacketRing: a packet socket with a TPACKET_V3 ring in shared memory. The kernel fills blocks one after
// another; a block that is full, or that a timer cut after kRetireMs, belongs to the user until it is
// returned.
//
// One owner thread at a time. Opened closed: no packet comes in until OpenGate(), so that a ring holds
// packets of its interface only, a fanout group is complete before its first packet, and nothing arrives
// before the sandbox stands. Sources: Linux Documentation/networking/packet_mmap.rst, net/packet/af_packet.c,
// <linux/if_packet.h>.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "capture/filter_hex.h"
#include "storage/block_format.h"

namespace steno {

// Below 100 ms, kernels from 6.18 on cut so many blocks short that the disk fills with padding (their timer
// runs freely).
inline constexpr unsigned kRetireMs = 100;

struct RingOptions {
  std::string interface_name;
  uint32_t block_bytes = kDefaultBlockBytes;  // multiple of the page size
  uint32_t block_count = 1024;
  bool promiscuous = true;
  FilterProgram filter;  // empty: every packet
};

struct FanoutOptions {
  uint32_t type = kFanoutHash;  // with flags, as --fanout_type
  // Without: the kernel chooses a free one, which may be 0.
  std::optional<uint16_t> id;
};

// What happened since the previous reading.
struct RingStatistics {
  uint32_t packets = 0;  // offered, drops included
  uint32_t drops = 0;
  uint32_t freezes = 0;  // times the ring became full
};

class TPacketRing {
 public:
  // Needs CAP_NET_RAW. Takes fewer blocks (at least kMinRingBlocks) if the kernel has no memory for all, with
  // a warning.
  static Result<TPacketRing> Open(const RingOptions& options);

  // Joins or founds a fanout group and returns its number. Once, before OpenGate().
  Result<uint16_t> JoinFanout(const FanoutOptions& options);

  Status OpenGate();   // packets come in, through the filter
  Status CloseGate();  // none comes in any more; those in the ring stay

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] uint32_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] uint32_t block_count() const { return block_count_; }
  [[nodiscard]] int interface_index() const { return interface_index_; }
  [[nodiscard]] std::span<uint8_t> memory() const { return mapping_.bytes(); }

  // REQUIRES for all: block < block_count().
  [[nodiscard]] std::span<uint8_t> Block(uint32_t block) const;
  [[nodiscard]] bool OwnedByUser(uint32_t block) const;
  // Packets were lost since the statistics were last read. REQUIRES: OwnedByUser(block).
  [[nodiscard]] bool Losing(uint32_t block) const;
  void ReturnToKernel(uint32_t block) const;

  // The kernel's counters, which reading clears.
  Result<RingStatistics> ReadStatistics();

  // True once the interface was removed (one that is only down comes back by itself). Also takes the socket's
  // pending error.
  [[nodiscard]] bool InterfaceGone() const;
  // Binds to an interface that has the same name again. Fails for members of a fanout group: the kernel
  // refuses.
  Status Rebind();

 private:
  TPacketRing() = default;
  Status MakeRing(uint32_t block_count);
  Status Bind();
  Status SetFilter(const FilterProgram& program);
  [[nodiscard]] std::atomic_ref<uint32_t> StatusWord(uint32_t block) const;

  // The mapping goes first: the socket outlives it.
  UniqueFd socket_;
  Mapping mapping_;
  std::string interface_name_;
  FilterProgram filter_;
  bool promiscuous_ = true;
  int interface_index_ = 0;
  uint32_t block_bytes_ = 0;
  uint32_t block_count_ = 0;
};

inline constexpr uint32_t kMinRingBlocks = 8;

}  // namespace steno
