#include "server/status_page.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "server/version.h"

namespace steno {
namespace {

using json = nlohmann::ordered_json;

// RFC 3339, or null for "never".
json Time(int64_t ns) {
  if (ns <= 0) return nullptr;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(static_cast<time_t>(ns / kNsPerSecond)),
                     ns % kNsPerSecond / kNsPerUs);
}

int64_t AsTime(const Counter& counter) {
  return static_cast<int64_t>(std::min<uint64_t>(counter.load(std::memory_order_relaxed), INT64_MAX));
}

uint64_t Value(const std::atomic<uint64_t>& counter) { return counter.load(std::memory_order_relaxed); }

json Thread(const CaptureState& capture, size_t i, const CaptureRate& rate) {
  const CaptureCounters& counters = capture.arenas[i]->counters();
  const auto trouble = DiskTroubleText(counters);
  const int64_t moved_ns = AsTime(counters.heartbeat_ns);
  return {
      {"thread", capture.first_slot + i},
      {"packets_directory", i < capture.directories.size() ? capture.directories[i] : ""},
      {"packets", Value(counters.packets)},
      {"bytes", Value(counters.bytes)},
      {"stored_packets", Value(counters.stored_packets)},
      {"stored_bytes", Value(counters.stored_bytes)},
      {"drops",
       {{"ring_full", Value(counters.ring_drops)},
        {"write_error", Value(counters.write_error_drops)},
        {"file_removed", Value(counters.removed_packets)}}},
      {"packets_per_second", rate.packets_per_second},
      {"bits_per_second", rate.bytes_per_second * 8},
      {"drops_per_second", rate.drops_per_second},
      {"ring",
       {{"used_blocks", Value(counters.ring_blocks_used)}, {"blocks", Value(counters.ring_blocks_total)}}},
      {"last_packet", Time(AsTime(counters.last_packet_ns))},
      {"seconds_since_it_moved",
       moved_ns == 0 ? json()
                     : json(static_cast<double>(std::max<int64_t>(MonotonicNs() - moved_ns, 0)) / 1e9)},
      {"source_lost", Value(counters.source_lost) != 0},
      {"disk_trouble", trouble ? json(*trouble) : json()},
  };
}

json Interface(const CaptureState& capture, const std::vector<CaptureRate>& rates) {
  json entry = {
      {"interface", capture.interface},
      {"running", capture.running},
      {"awaits_interface", capture.awaits_interface},
      {"pid", capture.running ? json(capture.pid) : json()},
      {"starts", capture.starts},
      {"last_exit", capture.last_exit.empty() ? json() : json(capture.last_exit)},
      {"last_exit_time", Time(capture.last_exit_ns)},
      {"last_words", capture.last_words},
  };
  if (!capture.arenas.empty()) {  // counted by the first thread for all
    const CaptureCounters& counters = capture.arenas[0]->counters();
    entry["drops_before_the_ring"] = {{"rx_missed_errors", Value(counters.nic_drops)},
                                      {"rx_dropped", Value(counters.rx_dropped)},
                                      {"softnet", Value(counters.softnet_drops)}};
  }
  entry["threads"] = json::array();
  for (size_t i = 0; i < capture.arenas.size(); ++i) {
    const size_t slot = capture.first_slot + i;
    entry["threads"].push_back(Thread(capture, i, slot < rates.size() ? rates[slot] : CaptureRate{}));
  }
  return entry;
}

json Space(const SpaceMeasure& space) {
  return {{"free_bytes", space.free_bytes}, {"total_bytes", space.total_bytes}, {"quota", space.quota}};
}

json Directory(const RetentionState& state) {
  const RetentionDirectory& limits = state.directory;
  return {
      {"packets_directory", limits.packets_directory},
      {"index_directory", limits.index_directory},
      {"files", state.files},
      {"bytes", state.bytes},
      {"oldest_packet", Time(state.oldest_ns)},
      {"newest_packet", Time(state.newest_ns)},
      {"packets_space", Space(state.packets_space)},
      {"index_space", Space(state.index_space)},
      {"limits",
       {{"disk_free_percentage", limits.disk_free_percent},
        {"max_files", limits.max_files},
        {"max_bytes", limits.max_bytes == 0 ? json() : json(limits.max_bytes)},
        {"max_age_seconds", limits.max_age_ns == 0 ? json() : json(limits.max_age_ns / kNsPerSecond)}}},
  };
}

json Queries(const ServerStats& stats) {
  return {
      {"running", Value(stats.queries_running)},
      {"waiting", Value(stats.queries_waiting)},
      {"completed", Value(stats.queries_completed)},
      {"cut", Value(stats.queries_cut)},
      {"refused", Value(stats.queries_refused)},
      {"invalid", Value(stats.queries_invalid)},
      {"forbidden", Value(stats.requests_forbidden)},
      {"problems", Value(stats.query_problems)},
      {"packets", Value(stats.packets_matched)},
      {"bytes", Value(stats.query_bytes)},
      {"seconds", static_cast<double>(Value(stats.query_nanos)) / 1e9},
  };
}

}  // namespace

std::string StatusPage(const StatusInput& input, const ServerStats& stats) {
  const int64_t now_ns = WallNs();
  json page = {
      {"version", kServerVersion},
      {"time", Time(now_ns)},
      {"started", Time(input.started_ns)},
      {"uptime_seconds", (now_ns - input.started_ns) / kNsPerSecond},
      {"ready", input.not_ready.empty()},
      {"not_ready", input.not_ready},
      {"config_warnings", input.config_warnings},
      {"interfaces", json::array()},
      {"directories", json::array()},
      {"queries", Queries(stats)},
  };
  for (const CaptureState& capture : input.captures)
    page["interfaces"].push_back(Interface(capture, input.rates));
  for (const RetentionState& state : input.directories) page["directories"].push_back(Directory(state));
  // Last words and paths may hold what is not UTF-8.
  return page.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace steno
