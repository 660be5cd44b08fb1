// BlockWriter: lays blocks end to end into packet files, indexes them on the way, and rotates the files.
//
// The part of a capture thread between memory and disk: it does not know where blocks come from. One owner
// thread. Never waits: what cannot be done now is refused and offered again. Allocates nothing after
// construction. A write error costs the blocks that failed, and those behind them in the same file; the file
// ends before them, and the next blocks go to a new one: one at a time, until one is stored (DiskTrouble).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "capture/disk_trouble.h"
#include "capture/ring_block.h"
#include "capture/sealing_thread.h"
#include "index/arena.h"
#include "index/builder.h"
#include "storage/block_format.h"
#include "storage/file_preparer.h"
#include "storage/io_engine.h"

namespace steno {

// Files of one thread that may be open or waiting for their last writes at the same time.
inline constexpr size_t kWriterFiles = 4;

struct BlockWriterOptions {
  std::string directory{};   // of the packet files, for messages
  unsigned thread = 0;       // number among ...
  unsigned threads = 1;      // ... all that may record into its directory, other processes' included
  size_t preparer_slot = 0;  // where its files come from
  uint64_t file_bytes = 0;   // a file is complete when the next block would go beyond this ...
  bool extend = false;       // ... even if less was allocated
  int64_t file_age_ns = 60 * kNsPerSecond;  // or when its first block is this old
  unsigned queue_depth = 128;
  uint32_t slots = 0;    // blocks that may be in flight: slot numbers are below this
  uint32_t snaplen = 0;  // bytes of packets that were asked for; 0: all
  bool index = true;
  // Without an index: the packets of ring blocks are not looked at, for EnclosingSummary() holds.
  bool enclosing_times = false;
  bool patient = false;  // rather wait than write a file without an index: for a source that can wait, too
};

// What a writer works with; all of it outlives the writer.
struct BlockWriterParts {
  IoEngine& engine;
  FilePreparer& preparer;
  SealingThread& sealing;
  IndexBuilder& builder;
  Arena& arena;
};

class BlockWriter {
 public:
  struct Block {
    // The whole memory of the block, of which used_bytes of the kernel header count. The private header and
    // the bytes between used_bytes and the next multiple of kDiskAlignment are overwritten.
    std::span<uint8_t> memory;
    uint32_t slot = 0;         // names the block until its completion
    uint32_t flags = 0;        // BlockFlags
    uint64_t drops_total = 0;  // of this thread until now
    BlockOrigin origin = {};
  };

  BlockWriter(BlockWriterOptions options, BlockWriterParts parts);

  // Starts writing. False, and nothing is done, if no file is ready or too many writes are in flight. The
  // memory is in use until Reap() names the slot. `now_ns` is monotonic, here and below.
  bool Write(const Block& block, int64_t now_ns);

  // How many blocks Write() will take now, as far as can be told: it refuses the rest.
  [[nodiscard]] unsigned room() const;

  // Announces ring blocks that Write() will get next (see IndexBuilder::LookAhead).
  void LookAhead(std::span<const std::span<const uint8_t>> blocks) {
    if (!options_.enclosing_times) parts_.builder.LookAhead(blocks);
  }

  // Moves the slots of finished writes to `out` and returns how many. Call until it returns 0.
  size_t Reap(std::span<uint32_t> out, int64_t now_ns);

  // Ends a file that is old enough or was removed, hands files whose writes are over to the sealing thread,
  // and notices a disk that stalls.
  void Tick(int64_t now_ns);
  // To be called about once a second, when the drops of the ring have just been read.
  void EverySecond(int64_t now_ns) { trouble_.EverySecond(now_ns); }

  // Ends the current file, if any; its writes go on.
  void CloseFile();

  // Nothing is in flight and no file is open.
  [[nodiscard]] bool idle() const;
  // There is a file, or part of one, that Tick() must look after soon.
  [[nodiscard]] bool handing_over() const { return draining_ > 0; }
  // When the current file is to be ended for its age; INT64_MAX if there is none.
  [[nodiscard]] int64_t rotation_ns() const;

 private:
  // What is known of a block of a file until its file is handed over.
  struct Record {
    uint32_t packets;
    uint32_t disk_bytes;
    bool written;
  };
  enum class FileState : uint8_t { kUnused, kOpen, kDraining };
  struct File {
    FileState state = FileState::kUnused;
    bool damaged = false;  // a write failed: nothing more goes in
    bool counted = false;  // what was lost of it is
    std::unique_ptr<OutputFile> output;
    uint64_t id = 0;
    uint64_t limit = 0;
    uint64_t end = 0;       // where the next block goes
    uint64_t good_end = 0;  // end of the blocks whose writes, and all before them, have succeeded
    uint32_t blocks = 0;
    uint32_t good_blocks = 0;
    uint64_t good_packets = 0;
    unsigned in_flight = 0;
    const SegmentMemory* segment = nullptr;
    int64_t opened_ns = 0;
    std::unique_ptr<Record[]> records;  // [kSegmentMaxBlocks]
  };
  struct InFlight {
    File* file = nullptr;
    uint32_t block = 0;
  };

  bool EnsureFile(const Block& block, uint64_t disk_bytes, int64_t now_ns);
  void NoteNoFile(int64_t now_ns);
  bool OpenNextFile(const Block& block, int64_t now_ns);
  [[nodiscard]] bool IndexIsMissing() const;
  [[nodiscard]] bool CanBeIndexedAgain() const;
  [[nodiscard]] const SegmentMemory* FreeSegment() const;
  [[nodiscard]] const SegmentMemory* OtherSegment(const SegmentMemory* segment) const;
  void FillHeader(const Block& block, uint64_t disk_bytes, const BlockSummary& summary, uint32_t flags);
  void Submit(const Block& block, uint64_t disk_bytes, uint32_t packets);
  void Complete(const WriteCompletion& completion, int64_t now_ns);
  void CountLatency(int64_t latency_ns);
  void NoteFailedWrite(const File& file, const Record& record, int64_t result, int64_t now_ns);
  void AdvanceGoodEnd(File& file);
  void HandOver(File& file);
  void CountLostBlocks(File& file);

  const BlockWriterOptions options_;
  const BlockWriterParts parts_;
  CaptureCounters& counters_;
  std::array<File, kWriterFiles> files_;
  File* current_ = nullptr;
  size_t draining_ = 0;
  std::vector<InFlight> in_flight_;  // by slot
  uint64_t drops_written_ = 0;
  DiskTrouble trouble_;
  int64_t waiting_ns_ = 0;   // since when there is no file for a block; 0: there is one
  int64_t progress_ns_ = 0;  // of the latest completion, or of the first write after there was none in flight
  bool told_buffered_ = false;
};

}  // namespace steno
