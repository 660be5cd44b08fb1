#include "server/stats_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace steno {
namespace {

using Values = std::map<std::string, int64_t>;

// The readers of this page parse signed 64-bit integers. stenotype's counters are not trusted to fit.
int64_t Clamp(uint64_t value) { return static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX)); }

void AddServer(Values& values, const ServerStats& stats) {
  const std::array<std::pair<const char*, const std::atomic<uint64_t>*>, 47> list = {{
      {"indexfile_current_reads", &stats.queries_running},
      {"http_request_query_POST_completed", &stats.queries_completed},
      {"http_request_query_POST_bytes", &stats.query_bytes},
      {"http_request_query_POST_nanos", &stats.query_nanos},
      {"packets_read", &stats.packets_matched},
      {"packets_scanned", &stats.packets_read},
      {"bytes_read", &stats.bytes_read},
      {"bytes_read_direct", &stats.bytes_read_direct},
      {"direct_reads_refused", &stats.direct_reads_refused},
      {"direct_reads_without_room", &stats.direct_reads_without_room},
      {"aged_files", &stats.aged_files},
      {"aged_bytes", &stats.aged_bytes},
      {"aged_files_age", &stats.deleted_files[0]},
      {"aged_files_files", &stats.deleted_files[1]},
      {"aged_files_bytes", &stats.deleted_files[2]},
      {"aged_files_space", &stats.deleted_files[3]},
      {"aged_bytes_age", &stats.deleted_bytes[0]},
      {"aged_bytes_files", &stats.deleted_bytes[1]},
      {"aged_bytes_bytes", &stats.deleted_bytes[2]},
      {"aged_bytes_space", &stats.deleted_bytes[3]},
      {"held_files", &stats.held_files},
      {"held_bytes", &stats.held_bytes},
      {"cut_files", &stats.cut_files},
      {"queries_running", &stats.queries_running},
      {"queries_waiting", &stats.queries_waiting},
      {"queries_cut", &stats.queries_cut},
      {"queries_refused", &stats.queries_refused},
      {"queries_invalid", &stats.queries_invalid},
      {"query_problems", &stats.query_problems},
      {"query_files_opened", &stats.files_opened},
      {"query_files_scanned", &stats.files_scanned},
      {"query_files_gone", &stats.files_gone},
      {"query_files_ruled_out", &stats.files_ruled_out},
      {"connections_open", &stats.connections_open},
      {"connections_accepted", &stats.connections_accepted},
      {"tls_failures", &stats.tls_failures},
      {"recovered_files", &stats.recovered_files},
      {"rebuilt_indexes", &stats.rebuilt_indexes},
      {"compacted_indexes", &stats.compacted_indexes},
      {"rebuild_failures", &stats.rebuild_failures},
      {"rebuild_waits", &stats.rebuild_waits},
      {"read_bytes_per_second", &stats.read_bytes_per_second},
      {"read_waits", &stats.read_waits},
      {"read_wait_ns", &stats.read_wait_ns},
      {"reads_slowed", &stats.reads_slowed},
      {"query_held_bytes", &stats.query_held_bytes},
      {"query_memory_refusals", &stats.query_memory_refusals},
  }};
  for (const auto& [name, counter] : list) values[name] = Clamp(counter->load(std::memory_order_relaxed));
}

void AddThread(Values& values, size_t thread, const CaptureCounters& counters) {
  const std::array<std::pair<const char*, const Counter*>, 38> list = {{
      {"packets", &counters.packets},
      {"bytes", &counters.bytes},
      {"stored_packets", &counters.stored_packets},
      {"stored_bytes", &counters.stored_bytes},
      {"ring_drops", &counters.ring_drops},
      {"ring_freezes", &counters.ring_freezes},
      {"write_error_drops", &counters.write_error_drops},
      {"filtered_outgoing", &counters.filtered_outgoing},
      {"blocks", &counters.blocks},
      {"disk_blocks", &counters.disk_blocks},
      {"wakeups", &counters.wakeups},
      {"files", &counters.files},
      {"index_full", &counters.index_full},
      {"unindexed_blocks", &counters.unindexed_blocks},
      {"raw_indexes", &counters.raw_indexes},
      {"flows", &counters.flows},
      {"write_errors", &counters.write_errors},
      {"prepare_failures", &counters.prepare_failures},
      {"seal_failures", &counters.seal_failures},
      {"write_latency_max_ns", &counters.write_latency_max_ns},
      {"ring_blocks_used", &counters.ring_blocks_used},
      {"ring_blocks_total", &counters.ring_blocks_total},
      {"heartbeat_ns", &counters.heartbeat_ns},
      {"started_ns", &counters.started_ns},
      {"last_packet_ns", &counters.last_packet_ns},
      {"source_lost", &counters.source_lost},
      {"ring_drops_second", &counters.ring_drops_second},
      {"nic_drops", &counters.nic_drops},
      {"rx_dropped", &counters.rx_dropped},
      {"softnet_drops", &counters.softnet_drops},
      {"skipped_packets", &counters.skipped_packets},
      {"removed_packets", &counters.removed_packets},
      {"sync_errors", &counters.sync_errors},
      {"disk_errno", &counters.disk_errno},
      {"disk_trouble_since_ns", &counters.disk_trouble_since_ns},
      {"disk_trouble_drops", &counters.disk_trouble_drops},
      {"disk_troubles", &counters.disk_troubles},
      {"write_latency_sum_ns", &counters.write_latency_sum_ns},
  }};
  for (const auto& [name, counter] : list) {
    values[fmt::format("stenotype_thread{}_{}", thread, name)] =
        Clamp(counter->load(std::memory_order_relaxed));
  }
}

void AddInterface(Values& values, const CaptureState& capture) {
  const std::string prefix = "interface_" + capture.interface;
  values[prefix + "_running"] = capture.running ? 1 : 0;
  values[prefix + "_starts"] = Clamp(capture.starts);
  values[prefix + "_first_thread"] = capture.first_slot;
}

}  // namespace

std::string StatsPage(const ServerStats& stats, const Store::Totals& totals,
                      const std::vector<CaptureState>& captures) {
  Values values;
  AddServer(values, stats);
  values["oldest_timestamp"] = totals.oldest_ns;
  values["current_files"] = Clamp(totals.files);
  values["index_cache_bytes"] = Clamp(totals.index_cache.bytes);
  values["index_cache_limit_bytes"] = Clamp(totals.index_cache.limit_bytes);
  values["index_cache_files_with_filters"] = Clamp(totals.index_cache.files_with_filters);
  values["index_cache_files_with_fences"] = Clamp(totals.index_cache.files_with_fences);
  values["index_cache_evictions"] = Clamp(totals.index_cache.evictions);
  // An index is one file and one lookup here; there are no sets of lookups, and hidden files are recovered.
  const uint64_t opened = stats.files_opened.load(std::memory_order_relaxed);
  const uint64_t lookups = opened - std::min(opened, stats.files_scanned.load(std::memory_order_relaxed));
  for (const char* name : {"indexfile_reads", "index_base_lookups_started", "index_base_lookups_finished"})
    values[name] = Clamp(lookups);
  for (const char* name : {"index_set_lookups_started", "index_set_lookups_finished",
                           "index_set_lookup_nanos", "removed_hidden_files"}) {
    values[name] = 0;
  }
  values["unindexed_files"] = Clamp(totals.unindexed_files);
  values["stenotype_running"] = std::ranges::all_of(captures, &CaptureState::running) ? 1 : 0;
  for (const CaptureState& capture : captures) {
    values["stenotype_starts"] += Clamp(capture.starts);
    if (captures.size() > 1) AddInterface(values, capture);
    for (size_t i = 0; i < capture.arenas.size(); ++i)
      AddThread(values, capture.first_slot + i, capture.arenas[i]->counters());
  }
  std::string page;
  for (const auto& [name, value] : values) page += fmt::format("{}\t{}\n", name, value);
  return page;
}

}  // namespace steno
