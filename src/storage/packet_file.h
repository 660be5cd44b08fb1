// Reading packet files: ours, and the incumbent's (1 MiB stride, no private header).
//
// PacketFile owns an open descriptor; several threads may read one file at the same time. Files are
// untrusted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "storage/block_format.h"

namespace steno {

// A file's blocks, as found by walking the headers from its start.
struct BlockTable {
  std::vector<BlockEntry> blocks;  // in file order
  uint64_t valid_bytes = 0;        // where the last valid block ends
  bool foreign = false;            // a file of the incumbent: times come from the packets
  bool clean = true;               // false: a block is missing, or bytes after valid_bytes are not zeros
  uint64_t missing_blocks =
      0;                 // between valid ones: damaged or never written (a sum of jumps in block_sequence)
  uint64_t file_id = 0;  // from the block headers; 0 in a foreign file
  uint16_t link_type = 1;
  std::string interface_name;
};

class PacketFile {
 public:
  static Result<PacketFile> Open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  // A second descriptor, for reads past the page cache (O_DIRECT), opened by the first call; -1 where that is
  // refused. Not thread-safe.
  int DirectFd();

  // Reads exactly `bytes` at `offset` (kCorrupt if the file is shorter).
  Status Read(std::span<uint8_t> bytes, uint64_t offset) const;

  // Walks the block headers (of a foreign file: the packets). Where the next block should be and is not, the
  // walk goes on with the next header that proves that it belongs to this place of this file, and ends
  // without an error if there is none: that is how a file that a crash cut off looks. An error is an I/O
  // error. `limit` bounds the walk to the file's first bytes (a live file: what is written so far).
  Result<BlockTable> WalkBlocks(uint64_t limit = UINT64_MAX) const;

  // kIo if retention has cut the file since it was opened (storage/retention.h): what was read from it may be
  // short.
  [[nodiscard]] Status CheckWhole() const;

  // Of a file of the incumbent, from its block headers alone: times enclose those of the packets, and
  // only damage of headers is seen.
  Result<BlockTable> ListForeignBlocks() const;

 private:
  PacketFile(std::string path, UniqueFd fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  std::string path_;
  UniqueFd fd_;
  std::optional<UniqueFd> direct_fd_;  // none yet
  uint64_t size_;                      // at least, since it was opened
};

// What the first block of a packet file says about it.
struct FileIdentity {
  bool ours = false;  // false: the incumbent's (no private header), or damaged
  uint64_t file_id = 0;
  uint64_t file_tag = 0;
  uint16_t link_type = 1;
  uint32_t snaplen = 0;
  std::string interface_name;
};
Result<FileIdentity> ReadFileIdentity(const PacketFile& file);

// Checks one block header against its checksum and its place. `first_kind` has file_id and file_tag of the
// file's first block (null when `header` is the first).
Status CheckBlockHeader(const BlockHeader& header, uint64_t file_offset, const BlockHeader* first_block);

// Fills header_crc.
void SealBlockHeader(BlockHeader& header);

}  // namespace steno
