// BlockGatherer: puts the few packets of several short ring blocks together into one block of the same form,
// so that a quiet link, where the kernel cuts a block every 100 ms, costs about what its packets cost.
//
// Copies; meant for blocks below kGatherBelowBytes. One owner thread. Memory is taken once; a buffer whose
// write is in flight is not touched until Release(). Nothing is allocated after Create().
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/mapping.h"
#include "base/result.h"
#include "storage/block_format.h"

namespace steno {

inline constexpr unsigned kGatherBuffers = 4;
inline constexpr uint32_t kGatherBlockBytes = kDefaultBlockBytes;
inline constexpr uint32_t kGatherBelowBytes = 64 * 1024;  // ring blocks with less in them are gathered

class BlockGatherer {
 public:
  static Result<BlockGatherer> Create();

  // Copies the packets of `block` (kernel header first, used_bytes long) behind those gathered so far. False,
  // and nothing is done, if they do not fit any more, if no buffer is free, or if the block's packet chain is
  // damaged: then write the gathered block, or this one itself. `now_ns` is monotonic.
  bool Add(std::span<const uint8_t> block, int64_t now_ns);

  [[nodiscard]] bool empty() const { return used_ == 0; }
  // When the oldest gathered packets were added. REQUIRES: !empty().
  [[nodiscard]] int64_t oldest_ns() const { return oldest_ns_; }

  // The whole memory of the buffer being filled, its kernel header complete: what is to be written. REQUIRES:
  // !empty().
  [[nodiscard]] std::span<uint8_t> Filled() const { return Buffer(current_); }
  [[nodiscard]] unsigned filled_buffer() const { return current_; }

  // The filled buffer is being written now: gathering goes on in another. REQUIRES: !empty().
  void Detach();
  // The write of this buffer is over.
  void Release(unsigned buffer) { busy_[buffer] = false; }

  // All buffers, for IoEngine::RegisterMemory.
  [[nodiscard]] std::span<uint8_t> memory() const { return memory_.bytes(); }

 private:
  [[nodiscard]] std::span<uint8_t> Buffer(unsigned buffer) const;
  bool StartBuffer(const KernelBlockHeader& first, int64_t now_ns);

  Mapping memory_;
  std::array<bool, kGatherBuffers> busy_{};
  unsigned current_ = 0;
  uint32_t used_ = 0;         // bytes of the current buffer; 0: not begun
  uint32_t last_packet_ = 0;  // offset of its last packet, whose tp_next_offset is still 0
  int64_t oldest_ns_ = 0;
  uint64_t sequence_ = 0;
};

}  // namespace steno
