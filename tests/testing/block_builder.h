// BlockBuilder: ring blocks as the kernel makes them, without a kernel: for tests and benchmarks of
// everything after it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "packet/decode.h"
#include "storage/block_format.h"

namespace steno::testing {

class BlockBuilder {
 public:
  explicit BlockBuilder(uint32_t block_bytes = kDefaultBlockBytes);

  // Appends a packet as the kernel lays it out (tp_mac 82); false if the block is full.
  bool Add(std::span<const uint8_t> frame, int64_t time_ns, const StrippedTag& tag = {},
           uint32_t original_bytes = 0, uint32_t interface_index = 1);

  [[nodiscard]] uint32_t packets() const { return packets_; }

  // The kernel's view: KernelBlockHeader filled, private area zero; size = used bytes.
  [[nodiscard]] std::span<uint8_t> Block();

  // Fills the private header for a file and returns the block padded to kDiskAlignment, ready to be written.
  std::vector<uint8_t> Finish(uint64_t file_id, uint64_t file_tag, uint64_t file_offset, uint64_t sequence,
                              uint64_t drops = 0, uint16_t thread = 0);

  // Finish() writes enclosing times (kBlockEnclosingTimes), around the first packet's and the latest.
  void UseEnclosingTimes() { enclosing_ = true; }

  // The block as the incumbent writes it: without private header, packets from byte 48 on, 1 MiB on disk.
  std::vector<uint8_t> FinishForeign();

  // Empties it for the next block.
  void Clear();

 private:
  std::vector<uint8_t> bytes_;
  size_t used_ = kFirstPacketOffset;
  size_t last_ = 0;
  uint32_t packets_ = 0;
  int64_t first_ns_ = 0;
  int64_t last_ns_ = 0;
  int64_t first_packet_ns_ = 0;
  bool enclosing_ = false;
};

}  // namespace steno::testing
