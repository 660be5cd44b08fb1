// Execution: expression + snapshot -> matching packets, exact, in time order, in bounded memory.
//
// Per file: the index names candidate granules, these are read, decoded and filtered again. One merge over
// all files orders packets by (time, directory, file, offset). A file is opened about when the merge reaches
// its first packet's time (a few ahead, by helper threads, when there are many), and closed after its last.
// Blocking; call it on a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "query/expression.h"
#include "query/packet_source.h"
#include "query/store.h"
#include "storage/packet_view.h"

namespace steno {

class MemoryBudget;
class ReadGovernor;

struct QueryOptions {
  std::stop_token stop;             // asks to end: kCancelled
  int64_t deadline_ns = INT64_MAX;  // CLOCK_MONOTONIC: kDeadline
  // Bytes of packets that may wait in memory for their turn. Capture files need a few MiB per thread. Files
  // whose blocks overlap in time beyond this are read more than once; the order of packets of equal times is
  // then that of reading.
  uint64_t held_bytes_limit = uint64_t{256} << 20;
  // Bytes of whole blocks that a query leaves to the page cache before it reads past it (query/read_ahead.h).
  uint64_t cached_bytes = uint64_t{128} << 20;
  MemoryBudget* memory = nullptr;    // of all queries, besides; null: none
  ReadGovernor* governor = nullptr;  // asked before each read of packets; null: none
};

struct QueryStats {
  uint64_t packets_matched = 0;
  uint64_t packets_read = 0;  // decoded and tested
  uint64_t bytes_read = 0;
  uint64_t bytes_read_direct = 0;          // of these, past the page cache
  uint64_t direct_reads_refused = 0;       // by the kernel, a file system or a disk: read the ordinary way
  uint64_t direct_reads_without_room = 0;  // the same for want of memory
  uint64_t files_considered = 0;           // inside the time bounds
  uint64_t files_ruled_out = 0;            // of these, not opened, as no packet of theirs can match
  uint64_t files_opened = 0;
  uint64_t files_scanned = 0;  // without an index
  uint64_t files_gone = 0;     // deleted by retention while the query ran
  // The interfaces of the files that were opened, with what is known to be lost inside the time bounds.
  std::vector<PacketSource> sources;
  // Files or blocks that could not be read: their packets are missing.
  std::vector<std::string> problems;
};

// Takes a packet and where it is from; both are valid during the call. False ends the query.
using EmitPacket = std::function<bool(const PacketView&, const PacketSource&)>;

// Calls `emit` for each packet; it returns false to end the query (a limit, a client that left): that is not
// an error. Errors: kCancelled, kDeadline. Damage to single files is in `stats.problems`, and the rest is
// answered.
Status ExecuteQuery(const Expression& expression, const StoreSnapshot& snapshot, const QueryOptions& options,
                    const EmitPacket& emit, QueryStats& stats);

}  // namespace steno
