// UnitReader: reads one unit of a packet file, decodes its packets and keeps those that match.
//
// Not thread-safe; one per query. The only place of a query that reads packets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "packet/headers.h"
#include "query/check_stop.h"
#include "query/execute.h"
#include "query/file_plan.h"
#include "query/read_ahead.h"
#include "query/read_buffer.h"
#include "query/read_units.h"
#include "storage/packet_view.h"

namespace steno {

// Waits until `bytes` more may be read. Errors: those of CheckStop().
Status WaitToRead(uint64_t bytes, const QueryOptions& options);

// Packets in order of time (equal times: of offset), with the memory that their views point into.
struct PacketRun {
  Buffer buffer;
  std::vector<PacketView> packets;
  size_t next = 0;

  [[nodiscard]] uint64_t held_bytes() const {
    return buffer.capacity() + packets.capacity() * sizeof(PacketView);
  }
};

class UnitReader {
 public:
  // All arguments are borrowed.
  UnitReader(const PlanRequest& request, const QueryOptions& options, QueryStats& stats)
      : request_(request), options_(options), stats_(stats), ahead_(options, pool_, stats) {}

  // Tells that these units will be read soon: begins it, or has the kernel begin.
  void Announce(PacketFile& file, std::span<const ReadUnit> units);

  // Fills `run` with the unit's packets that match. What cannot be read is described in `damage`, and the
  // packets before it count. Errors: those of CheckStop() only.
  Status Read(const PacketFile& file, const ReadUnit& unit, PacketRun& run, std::string& damage);

  // Moves the run's packets to memory of just their size.
  void Shrink(PacketRun& run);
  // Takes the run's memory back for further reads.
  void Recycle(PacketRun& run);

 private:
  Status ReadOnce(const PacketFile& file, const ReadUnit& unit, PacketRun& run, std::string& damage);
  void FitViews(PacketRun& run);
  void KeepViews(std::vector<PacketView> views);
  Status Filter(PacketWalk& walk, const ReadUnit& unit, PacketRun& run);
  Status Fetch(const PacketFile& file, const ReadUnit& unit, PacketRun& run, size_t& got,
               std::string& damage);

  const PlanRequest& request_;
  const QueryOptions& options_;
  QueryStats& stats_;
  PacketHeaders headers_;
  BufferPool pool_;
  std::vector<PacketView> views_;  // empty memory for those of the next run
  ReadAhead ahead_;
};

}  // namespace steno
