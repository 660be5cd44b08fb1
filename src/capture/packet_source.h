// PacketSource: where a capture thread gets its blocks from: a packet socket, or a stream of captured
// packets.
//
// A source owns a ring of equal blocks in one piece of memory and hands them over in turn, block 0 first,
// each in the form of TPACKET_V3 (storage/block_format.h) with its status word as the kernel sets it. A block
// belongs to the capture thread from OwnedByUser() on until Return(). One owner thread at a time; what a
// source does on threads of its own is its business.
//
// Opened closed: no packet comes in until OpenGate(), so that a fanout group is complete before its first
// packet, and nothing arrives before the sandbox stands.
#pragma once

#include <linux/if_packet.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/mapping.h"
#include "base/result.h"
#include "capture/ring_block.h"
#include "storage/block_format.h"

namespace steno {

// What happened since the previous reading.
struct SourceStatistics {
  uint64_t packets = 0;  // offered, drops included
  uint64_t drops = 0;
  uint64_t freezes = 0;  // times the ring became full
  uint64_t skipped = 0;  // not offered: packets of a kind that is not recorded
};

class PacketSource {
 public:
  virtual ~PacketSource() = default;

  virtual Status OpenGate() = 0;   // packets come in
  virtual Status CloseGate() = 0;  // none comes in any more; those in the ring stay

  // Becomes readable when blocks may have been handed over. For edge-triggered use only.
  [[nodiscard]] virtual int fd() const = 0;

  // The block is the source's again. REQUIRES: OwnedByUser(block).
  virtual void Return(uint32_t block) = 0;

  // The source's counters, which reading clears.
  virtual Result<SourceStatistics> ReadStatistics() = 0;

  // To be called about once a second, and when fd() tells of an error: sees to it that packets come in again
  // (an interface that was removed and is back). `lost` becomes true while none can. An error is final.
  virtual Status Check(bool& lost) = 0;

  // No block will be handed over but those that are by now (the end of a file).
  [[nodiscard]] virtual bool exhausted() const { return false; }

  // How long after CloseGate() the last block is handed over at the latest.
  [[nodiscard]] virtual int64_t last_block_ns() const = 0;

  // The system's clock stamps packets as they come in, so that EnclosingSummary() holds.
  [[nodiscard]] virtual bool stamps_arrivals() const { return false; }

  // REQUIRES: OwnedByUser(block). Blocks of one interface_index have one name.
  [[nodiscard]] virtual BlockOrigin Origin(uint32_t block) const = 0;

  // After the end: an error if packets are missing that should have been recorded.
  [[nodiscard]] virtual Status outcome() const { return {}; }

  [[nodiscard]] uint32_t block_bytes() const { return block_bytes_; }
  [[nodiscard]] uint32_t block_count() const { return block_count_; }
  [[nodiscard]] std::span<uint8_t> memory() const { return memory_.bytes(); }

  // REQUIRES for all: block < block_count().
  [[nodiscard]] std::span<uint8_t> Block(uint32_t block) const {
    return memory_.bytes().subspan(size_t{block} * block_bytes_, block_bytes_);
  }
  [[nodiscard]] bool OwnedByUser(uint32_t block) const {
    return (StatusWord(block).load(std::memory_order_acquire) & TP_STATUS_USER) != 0;
  }
  // Packets were lost since the statistics were last read. REQUIRES: OwnedByUser(block).
  [[nodiscard]] bool Losing(uint32_t block) const {
    return (StatusWord(block).load(std::memory_order_relaxed) & TP_STATUS_LOSING) != 0;
  }

 protected:
  PacketSource() = default;
  PacketSource(PacketSource&&) = default;
  PacketSource& operator=(PacketSource&&) = default;

  void SetMemory(Mapping memory, uint32_t block_bytes, uint32_t block_count) {
    memory_ = std::move(memory);
    block_bytes_ = block_bytes;
    block_count_ = block_count;
  }
  [[nodiscard]] std::atomic_ref<uint32_t> StatusWord(uint32_t block) const {
    uint8_t* word = memory_.data() + size_t{block} * block_bytes_ + offsetof(KernelBlockHeader, block_status);
    return std::atomic_ref(*reinterpret_cast<uint32_t*>(word));
  }

 private:
  Mapping memory_;
  uint32_t block_bytes_ = 0;
  uint32_t block_count_ = 0;
};

}  // namespace steno
