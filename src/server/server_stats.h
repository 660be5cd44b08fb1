// ServerStats: the server's own counters. Totals since its start, unless said otherwise. Any thread may write
// and read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "server/duration_histogram.h"
#include "storage/retention.h"

namespace steno {

struct ServerStats {
  std::atomic<uint64_t> queries_running{0};  // now
  std::atomic<uint64_t> queries_waiting{0};  // now, for a slot
  std::atomic<uint64_t> queries_completed{0};
  std::atomic<uint64_t> queries_cut{0};         // of these, answered in part only
  std::atomic<uint64_t> queries_refused{0};     // no slot became free in time
  std::atomic<uint64_t> queries_invalid{0};     // wrong text or limits
  std::atomic<uint64_t> requests_forbidden{0};  // to this client, by roles and allowed names
  std::atomic<uint64_t> audit_lines{0};
  std::atomic<uint64_t> audit_lost{0};   // lines that could not be written
  std::atomic<uint64_t> query_bytes{0};  // sent as results
  std::atomic<uint64_t> query_nanos{0};
  DurationHistogram query_durations;
  std::atomic<uint64_t> packets_matched{0};
  std::atomic<uint64_t> packets_read{0};  // decoded and tested
  std::atomic<uint64_t> bytes_read{0};
  // Of query/read_ahead.h.
  std::atomic<uint64_t> bytes_read_direct{0};
  std::atomic<uint64_t> direct_reads_refused{0};
  std::atomic<uint64_t> direct_reads_without_room{0};
  std::atomic<uint64_t> files_opened{0};
  std::atomic<uint64_t> files_scanned{0};
  std::atomic<uint64_t> files_ruled_out{0};
  std::atomic<uint64_t> files_gone{0};
  std::atomic<uint64_t> query_problems{0};
  std::atomic<uint64_t> connections_open{0};  // now
  std::atomic<uint64_t> connections_accepted{0};
  std::atomic<uint64_t> tls_failures{0};
  std::atomic<uint64_t> aged_files{0};  // deleted by retention
  std::atomic<uint64_t> aged_bytes{0};
  // Of these, packet files with their indexes by cause.
  std::array<std::atomic<uint64_t>, kRetentionCauses> deleted_files{};
  std::array<std::atomic<uint64_t>, kRetentionCauses> deleted_bytes{};
  std::atomic<uint64_t> held_files{0};  // now: deleted, but somebody reads them still
  std::atomic<uint64_t> held_bytes{0};
  std::atomic<uint64_t> cut_files{0};  // of these, freed all the same
  std::atomic<uint64_t> recovered_files{0};
  std::atomic<uint64_t> rebuilt_indexes{0};
  std::atomic<uint64_t> compacted_indexes{0};  // sealed after they were written raw
  std::atomic<uint64_t> rebuild_failures{0};
  std::atomic<uint64_t> rebuild_waits{0};  // for RebuildMBps
  // Of query/read_governor.h.
  std::atomic<uint64_t> read_bytes_per_second{0};  // allowed now; 0: no limit
  std::atomic<uint64_t> read_waits{0};
  std::atomic<uint64_t> read_wait_ns{0};
  std::atomic<uint64_t> reads_slowed{0};
  // Of query/memory_budget.h.
  std::atomic<uint64_t> query_held_bytes{0};  // now
  std::atomic<uint64_t> query_memory_refusals{0};
};

}  // namespace steno
