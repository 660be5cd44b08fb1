// ReadAhead: reads whole blocks past the page cache, several at a time, while their query works on others.
//
// An export reads every block once. Through the page cache that costs the kernel a page to find, to fill and
// to copy for each page that is read, and the cache loses what others need again. Direct reads by io_uring go
// into the query's own memory instead. Not read like this, but the ordinary way by the caller:
//   * the first blocks of a query (QueryOptions::cached_bytes): small answers are asked for again;
//   * parts of blocks: answers by the index, likewise;
//   * blocks that are in the page cache;
//   * all blocks while reads have to give way to the capture, which is then decided read by read;
//   * where there is no memory for it, or the kernel or the file system refuses.
//
// Not thread-safe: one per query, used by its thread from the first Begin() to the end. Buffers of reads
// under way belong to the kernel; the destructor waits for them. What they take counts in
// QueryOptions::memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"
#include "query/execute.h"
#include "query/memory_budget.h"
#include "query/read_buffer.h"
#include "query/read_units.h"
#include "storage/packet_file.h"
#include "storage/read_ring.h"

namespace steno {

class ReadAhead {
 public:
  static constexpr uint64_t kMinBytes = 64 * 1024;  // of a block; smaller ones cost more calls than copies
  static constexpr uint64_t kMaxBytes = 16 << 20;   // under way or waiting to be taken, of one query

  // All arguments are borrowed.
  ReadAhead(const QueryOptions& options, BufferPool& pool, QueryStats& stats);
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Prepares the read of a unit that is going to be taken; false if it is to be read the ordinary way.
  // REQUIRES: a file with units that were begun and not taken stays open.
  bool Begin(PacketFile& file, const ReadUnit& unit);
  // Starts the reads that were prepared.
  void Start();
  // Waits for a unit that was begun: its bytes from read_begin to read_end. Nothing if it was not, or could
  // not be read: then it is to be read the ordinary way, which tells what is wrong. Errors: those of
  // CheckStop().
  Result<std::optional<Buffer>> Take(const PacketFile& file, const ReadUnit& unit);

 private:
  static constexpr unsigned kSlots = 32;
  static constexpr int kUnderWay = INT32_MIN;
  struct Slot {
    const PacketFile* file = nullptr;  // null: free
    uint64_t offset = 0;
    Buffer buffer;
    int result = 0;  // bytes, -errno, or kUnderWay
  };

  bool IsWorthIt(const PacketFile& file, const ReadUnit& unit);
  [[nodiscard]] bool HasRoom(uint64_t bytes) const;
  bool SetUpRing();
  Slot* Find(const PacketFile* file, uint64_t offset);
  Buffer Release(Slot& slot);

  const QueryOptions& options_;
  BufferPool& pool_;
  QueryStats& stats_;
  bool refused_ = false;       // by the kernel, a file system or a disk: not tried again
  uint64_t cached_bytes_ = 0;  // of the units that were left to the page cache for being the first
  HeldMemory held_;
  std::array<Slot, kSlots> slots_;
  std::unique_ptr<ReadRing> ring_;  // null before the first read; gone before the memory of the reads
};

}  // namespace steno
