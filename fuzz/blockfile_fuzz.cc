// Any bytes as a packet file: the walk over blocks and packets stays inside, ends, and finds only what is
// there. The first byte chooses: odd = block headers get a right checksum first, so that the fuzzer reaches
// what is behind it. Links: steno_storage
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "storage/packet_file.h"
#include "storage/packet_view.h"

namespace {

void SealHeaders(std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at + steno::kFirstPacketOffset <= bytes.size(); at += steno::kDiskAlignment) {
    steno::BlockHeader header;
    std::memcpy(&header, bytes.data() + at + steno::kKernelHeaderBytes, sizeof header);
    if (header.magic != steno::kBlockMagic) continue;
    steno::SealBlockHeader(header);
    std::memcpy(bytes.data() + at + steno::kKernelHeaderBytes, &header, sizeof header);
  }
}

// Reads the block as queries do: from its first packet on, and once more from an arbitrary place.
void ReadBlock(const steno::PacketFile& file, const steno::BlockEntry& block, bool foreign,
               uint64_t file_bytes) {
  STENO_CHECK(block.file_offset + block.used_bytes <= file_bytes);
  std::vector<uint8_t> bytes(block.used_bytes);
  STENO_CHECK(file.Read(bytes, block.file_offset));
  const size_t first = foreign ? steno::kKernelHeaderBytes : steno::kFirstPacketOffset;
  for (const size_t start : {first, first + block.packet_count % 4096}) {
    steno::PacketWalk walk(bytes, start, bytes.size(), block.file_offset);
    uint64_t last = 0;
    volatile uint8_t sink = 0;
    while (const steno::PacketView* packet = walk.Next()) {
      STENO_CHECK(last == 0 || packet->file_offset > last);
      last = packet->file_offset;
      for (const uint8_t byte : packet->frame) sink = byte;
    }
    static_cast<void>(sink);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> bytes(data + 1, data + size);
  if (data[0] % 2 != 0) SealHeaders(bytes);
  static const int memory = ::memfd_create("blockfile_fuzz", MFD_CLOEXEC);
  STENO_CHECK(::ftruncate(memory, 0) == 0);
  STENO_CHECK(::pwrite(memory, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  const auto file = steno::PacketFile::Open("/proc/self/fd/" + std::to_string(memory));
  STENO_CHECK(file.has_value());
  const auto table = file->WalkBlocks();
  STENO_CHECK(table.has_value());
  STENO_CHECK(table->valid_bytes <= bytes.size());
  uint64_t end = 0;
  for (const steno::BlockEntry& block : table->blocks) {
    STENO_CHECK(block.file_offset >= end);
    end = block.file_offset + block.used_bytes;
    ReadBlock(*file, block, table->foreign, bytes.size());
  }
  STENO_CHECK(end <= table->valid_bytes);
  return 0;
}
