// UnitReader: reads one unit of a packet file, decodes its packets and keeps those that match.
//
// Not thread-safe; one per query. The only place of a query that reads packets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "packet/headers.h"
#include "query/execute.h"
#include "query/file_plan.h"
#include "query/read_units.h"
#include "storage/packet_view.h"

namespace steno {

// kCancelled or kDeadline as soon as a query has to end.
Status CheckStop(const QueryOptions& options);

// Waits until `bytes` more may be read. Errors: those of CheckStop().
Status WaitToRead(uint64_t bytes, const QueryOptions& options);

// Uninitialised memory.
struct Buffer {
  std::unique_ptr<uint8_t[]> data;
  size_t capacity = 0;
};

// Packets in order of time (equal times: of offset), with the memory that their views point into.
struct PacketRun {
  Buffer buffer;
  std::vector<PacketView> packets;
  size_t next = 0;

  [[nodiscard]] uint64_t held_bytes() const {
    return buffer.capacity + packets.capacity() * sizeof(PacketView);
  }
};

class UnitReader {
 public:
  // All arguments are borrowed.
  UnitReader(const PlanRequest& request, const QueryOptions& options, QueryStats& stats)
      : request_(request), options_(options), stats_(stats) {}

  // Fills `run` with the unit's packets that match. What cannot be read is described in `damage`, and the
  // packets before it count. Errors: those of CheckStop() only.
  Status Read(const PacketFile& file, const ReadUnit& unit, PacketRun& run, std::string& damage);

  // Moves the run's packets to memory of just their size.
  void Shrink(PacketRun& run);
  // Takes the run's memory back for further reads.
  void Recycle(PacketRun& run);

 private:
  Status ReadOnce(const PacketFile& file, const ReadUnit& unit, PacketRun& run, std::string& damage);
  Status Filter(PacketWalk& walk, const ReadUnit& unit, PacketRun& run);
  Buffer TakeBuffer(size_t bytes);
  void GiveBuffer(Buffer buffer);

  const PlanRequest& request_;
  const QueryOptions& options_;
  QueryStats& stats_;
  PacketHeaders headers_;
  std::vector<Buffer> free_;
};

}  // namespace steno
