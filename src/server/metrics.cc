#include "server/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "server/process_metrics.h"
#include "server/version.h"

namespace steno {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;
using Type = prometheus::MetricType;

double Seconds(double nanoseconds) { return nanoseconds / static_cast<double>(kNsPerSecond); }

// Metric families in the order in which they are first named.
class Families {
 public:
  void Add(Type type, std::string_view name, std::string_view help, Labels labels, double value) {
    prometheus::ClientMetric& metric = Metric(type, name, help, std::move(labels));
    (type == Type::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
  prometheus::ClientMetric& Metric(Type type, std::string_view name, std::string_view help, Labels labels) {
    auto family = std::ranges::find(families_, name, &prometheus::MetricFamily::name);
    if (family == families_.end()) {
      families_.push_back({std::string(name), std::string(help), type, {}});
      family = families_.end() - 1;
    }
    prometheus::ClientMetric& metric = family->metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }
  [[nodiscard]] std::string Text() const {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, families_);
    return text.str();
  }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

// A counter and how it is shown. Those of one name must stand together.
template <class Owner>
struct Shown {
  std::atomic<uint64_t> Owner::* counter;
  Type type;
  const char* name;
  const char* help;
  const char* label = "";  // besides the thread
  const char* value = "";
  double unit = 1;
};

template <class Owner, size_t kCount>
void AddShown(Families& families, const std::array<Shown<Owner>, kCount>& list, const Owner& owner,
              const Labels& common) {
  for (const Shown<Owner>& shown : list) {
    Labels labels = common;
    if (*shown.label != '\0') labels.push_back({shown.label, shown.value});
    const auto value = static_cast<double>((owner.*shown.counter).load(std::memory_order_relaxed));
    families.Add(shown.type, shown.name, shown.help, std::move(labels), value * shown.unit);
  }
}

constexpr const char* kDropped = "steno_dropped_packets_total";
constexpr const char* kDroppedHelp = "Packets that were lost, by cause.";
constexpr const char* kErrors = "steno_capture_errors_total";
constexpr const char* kErrorsHelp = "Operations on files that failed, by operation.";
constexpr double kFromNs = 1e-9;

using C = CaptureCounters;
constexpr std::array<Shown<C>, 25> kThread = {{
    {&C::packets, Type::Counter, "steno_capture_packets_total", "Packets taken from the ring."},
    {&C::bytes, Type::Counter, "steno_capture_bytes_total", "Captured bytes of these packets."},
    {&C::stored_packets, Type::Counter, "steno_stored_packets_total", "Packets on disk."},
    {&C::stored_bytes, Type::Counter, "steno_stored_bytes_total", "Bytes written to packet files."},
    {&C::ring_drops, Type::Counter, kDropped, kDroppedHelp, "cause", "ring_full"},
    {&C::write_error_drops, Type::Counter, kDropped, kDroppedHelp, "cause", "write_error"},
    {&C::removed_packets, Type::Counter, kDropped, kDroppedHelp, "cause", "file_removed"},
    {&C::ring_freezes, Type::Counter, "steno_ring_full_total", "Times that the ring became full."},
    {&C::ring_blocks_used, Type::Gauge, "steno_ring_used_blocks", "Ring blocks that wait for the disk."},
    {&C::ring_blocks_total, Type::Gauge, "steno_ring_blocks", "Ring blocks there are."},
    {&C::disk_blocks, Type::Counter, "steno_stored_blocks_total", "Blocks written to packet files."},
    {&C::files, Type::Counter, "steno_packet_files_published_total", "Packet files that were completed."},
    {&C::flows, Type::Counter, "steno_indexed_flows_total", "Flows added to indexes."},
    {&C::index_full, Type::Counter, "steno_index_full_total", "Files ended early: their index was full."},
    {&C::unindexed_blocks, Type::Counter, "steno_unindexed_blocks_total", "Blocks written without index."},
    {&C::raw_indexes, Type::Counter, "steno_raw_indexes_total", "Indexes written raw: sealing fell behind."},
    {&C::write_errors, Type::Counter, kErrors, kErrorsHelp, "operation", "write"},
    {&C::prepare_failures, Type::Counter, kErrors, kErrorsHelp, "operation", "prepare"},
    {&C::seal_failures, Type::Counter, kErrors, kErrorsHelp, "operation", "publish"},
    {&C::sync_errors, Type::Counter, kErrors, kErrorsHelp, "operation", "sync"},
    {&C::disk_troubles, Type::Counter, "steno_disk_troubles_total",
     "Times that packets began to be kept from the disk."},
    {&C::source_lost, Type::Gauge, "steno_source_lost", "1 while the interface or the peer is gone."},
    {&C::skipped_packets, Type::Counter, "steno_skipped_packets_total",
     "Packets of a stream that are not Ethernet."},
    {&C::started_ns, Type::Gauge, "steno_capture_start_timestamp_seconds", "When the capture thread started.",
     "", "", kFromNs},
    {&C::last_packet_ns, Type::Gauge, "steno_last_packet_timestamp_seconds", "Time of the newest packet.", "",
     "", kFromNs},
}};

constexpr const char* kBefore = "steno_interface_dropped_packets_total";
constexpr const char* kBeforeHelp =
    "Packets that the interface or the kernel dropped before the ring, by counter.";
constexpr std::array<Shown<C>, 3> kInterface = {{
    {&C::nic_drops, Type::Counter, kBefore, kBeforeHelp, "counter", "rx_missed_errors"},
    {&C::rx_dropped, Type::Counter, kBefore, kBeforeHelp, "counter", "rx_dropped"},
    {&C::softnet_drops, Type::Counter, kBefore, kBeforeHelp, "counter", "softnet"},
}};

using S = ServerStats;
constexpr const char* kQueries = "steno_queries_total";
constexpr const char* kQueriesHelp = "Queries, by how they ended.";
constexpr std::array<Shown<S>, 39> kServer = {{
    {&S::queries_running, Type::Gauge, "steno_queries_running", "Queries that run now."},
    {&S::queries_waiting, Type::Gauge, "steno_queries_waiting", "Queries that wait for a slot now."},
    {&S::queries_cut, Type::Counter, kQueries, kQueriesHelp, "result", "cut"},
    {&S::queries_refused, Type::Counter, kQueries, kQueriesHelp, "result", "refused"},
    {&S::queries_invalid, Type::Counter, kQueries, kQueriesHelp, "result", "invalid"},
    {&S::requests_forbidden, Type::Counter, "steno_requests_forbidden_total",
     "Requests refused because of the client: by roles or allowed names."},
    {&S::audit_lines, Type::Counter, "steno_audit_lines_total", "Lines of the audit log."},
    {&S::audit_lost, Type::Counter, "steno_audit_lost_lines_total",
     "Lines of the audit log that could not be written."},
    {&S::query_bytes, Type::Counter, "steno_query_result_bytes_total", "Bytes sent as results."},
    {&S::packets_matched, Type::Counter, "steno_query_matched_packets_total", "Packets found by queries."},
    {&S::packets_read, Type::Counter, "steno_query_read_packets_total", "Packets decoded to find them."},
    {&S::bytes_read, Type::Counter, "steno_query_read_bytes_total",
     "Bytes read from packet files by queries."},
    {&S::bytes_read_direct, Type::Counter, "steno_query_direct_read_bytes_total",
     "Of these, bytes read past the page cache."},
    {&S::direct_reads_refused, Type::Counter, "steno_query_direct_reads_refused_total",
     "Reads through the page cache because direct ones were refused or failed."},
    {&S::direct_reads_without_room, Type::Counter, "steno_query_direct_reads_without_room_total",
     "Reads through the page cache for lack of memory to read ahead."},
    {&S::files_opened, Type::Counter, "steno_query_opened_files_total", "Packet files opened by queries."},
    {&S::files_scanned, Type::Counter, "steno_query_scanned_files_total", "Of these, read without an index."},
    {&S::query_problems, Type::Counter, "steno_query_problems_total", "Pieces that queries could not read."},
    {&S::connections_open, Type::Gauge, "steno_connections", "Connections of clients now."},
    {&S::connections_accepted, Type::Counter, "steno_connections_total", "Connections of clients."},
    {&S::tls_failures, Type::Counter, "steno_tls_failures_total", "Clients that failed at TLS."},
    {&S::aged_files, Type::Counter, "steno_retention_files_total", "Packet files deleted by retention."},
    {&S::aged_bytes, Type::Counter, "steno_retention_bytes_total", "Bytes on disk that these files took."},
    {&S::held_files, Type::Gauge, "steno_retention_held_files",
     "Of these files, those that somebody reads still."},
    {&S::held_bytes, Type::Gauge, "steno_retention_held_bytes", "Their space, which is not free yet."},
    {&S::cut_files, Type::Counter, "steno_retention_cut_files_total",
     "Files that were cut while somebody read them: the disk was about to be full."},
    {&S::recovered_files, Type::Counter, "steno_recovered_files_total", "Packet files saved after crashes."},
    {&S::rebuilt_indexes, Type::Counter, "steno_rebuilt_indexes_total", "Indexes built again."},
    {&S::compacted_indexes, Type::Counter, "steno_compacted_indexes_total", "Raw indexes that were sealed."},
    {&S::files_ruled_out, Type::Counter, "steno_query_files_ruled_out_total",
     "Files that queries did not open, since no packet in them could match."},
    {&S::rebuild_failures, Type::Counter, "steno_rebuild_failures_total", "Indexes that could not be."},
    {&S::read_bytes_per_second, Type::Gauge, "steno_query_read_limit_bytes_per_second",
     "What queries may read now; 0: no limit."},
    {&S::read_waits, Type::Counter, "steno_query_read_waits_total", "Reads of queries that waited for that."},
    {&S::reads_slowed, Type::Counter, "steno_query_read_slowdowns_total",
     "Times that it was lowered for the capture's sake."},
    {&S::rebuild_waits, Type::Counter, "steno_rebuild_waits_total",
     "Reads for them that waited for RebuildMBps."},
    {&S::files_gone, Type::Counter, "steno_query_files_gone_total",
     "Files that retention deleted while queries were about to read them."},
    {&S::read_wait_ns, Type::Counter, "steno_query_read_wait_seconds_total",
     "Time that reads of queries waited for their limit.", "", "", kFromNs},
    {&S::query_held_bytes, Type::Gauge, "steno_query_memory_bytes",
     "Memory taken by packets that queries have read ahead."},
    {&S::query_memory_refusals, Type::Counter, "steno_query_memory_refusals_total",
     "Times that there was none left: packets were read again."},
}};

// `count(i)`: of the values up to bound i and above the one before; one more than there are bounds.
template <size_t kBounds, class Count>
void AddHistogram(prometheus::ClientMetric& metric, const std::array<int64_t, kBounds>& bounds_ns,
                  const Count& count, uint64_t sum_ns) {
  auto& histogram = metric.histogram;
  uint64_t total = 0;
  for (size_t i = 0; i <= kBounds; ++i) {
    total += count(i);
    const double bound =
        i < kBounds ? Seconds(static_cast<double>(bounds_ns[i])) : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({total, bound});
  }
  histogram.sample_count = total;
  histogram.sample_sum = Seconds(static_cast<double>(sum_ns));
}

void AddLatency(Families& families, const CaptureCounters& counters, Labels labels) {
  AddHistogram(
      families.Metric(Type::Histogram, "steno_write_duration_seconds",
                      "Time from the submission of a write to its completion.", std::move(labels)),
      kLatencyBoundsNs, [&](size_t i) { return counters.write_latency[i].load(std::memory_order_relaxed); },
      counters.write_latency_sum_ns.load(std::memory_order_relaxed));
}

void AddQueries(Families& families, const ServerStats& stats) {
  // Those that were cut are counted among the completed ones.
  const uint64_t completed = stats.queries_completed.load();
  families.Add(Type::Counter, kQueries, kQueriesHelp, {{"result", "complete"}},
               static_cast<double>(completed - std::min(completed, stats.queries_cut.load())));
  AddHistogram(
      families.Metric(Type::Histogram, "steno_query_duration_seconds",
                      "Time from a query's start to its end.", {}),
      DurationHistogram::kBoundsNs, [&](size_t i) { return stats.query_durations.count(i); },
      stats.query_nanos.load(std::memory_order_relaxed));
}

void AddThread(Families& families, const Labels& labels, const CaptureCounters& counters) {
  AddShown(families, kThread, counters, labels);
  const bool trouble = counters.disk_errno.load(std::memory_order_relaxed) != 0;
  families.Add(Type::Gauge, "steno_disk_trouble", "1 while packets cannot be written to the disk.", labels,
               trouble ? 1 : 0);
  AddLatency(families, counters, labels);
}

void AddInterface(Families& families, const CaptureState& capture) {
  const Labels interface = {{"interface", capture.interface}};
  families.Add(Type::Gauge, "steno_capture_up", "1 while stenotype runs.", interface,
               capture.running ? 1 : 0);
  families.Add(Type::Counter, "steno_capture_starts_total", "How often stenotype was started.", interface,
               static_cast<double>(capture.starts));
  families.Add(Type::Gauge, "steno_capture_ready", "1 while packets of all its threads are recorded.",
               interface, NotReadyReasons(capture, MonotonicNs()).empty() ? 1 : 0);
  if (const auto usage = capture.running ? ReadProcessUsage(capture.pid) : std::nullopt) {
    families.Add(Type::Counter, "steno_capture_cpu_seconds_total", "Processor time of stenotype.", interface,
                 usage->cpu_seconds);
    families.Add(Type::Gauge, "steno_capture_resident_memory_bytes", "Resident memory of stenotype.",
                 interface, static_cast<double>(usage->resident_bytes));
  }
  // What is lost before the rings is counted by the first thread for all.
  if (!capture.arenas.empty()) AddShown(families, kInterface, capture.arenas[0]->counters(), interface);
}

void AddThreads(Families& families, const CaptureState& capture) {
  for (size_t i = 0; i < capture.arenas.size(); ++i) {
    AddThread(families,
              {{"interface", capture.interface}, {"thread", std::to_string(capture.first_slot + i)}},
              capture.arenas[i]->counters());
  }
}

void AddFiles(Families& families, const Store::Totals& totals) {
  const char* const name = "steno_packet_files";
  const char* const help = "Packet files there are, by whether they have an index.";
  families.Add(Type::Gauge, name, help, {{"indexed", "true"}},
               static_cast<double>(totals.files - std::min(totals.files, totals.unindexed_files)));
  families.Add(Type::Gauge, name, help, {{"indexed", "false"}}, static_cast<double>(totals.unindexed_files));
  families.Add(Type::Gauge, "steno_oldest_packet_timestamp_seconds",
               "Time from which on all threads have packets; 0 if there are none.", {},
               Seconds(static_cast<double>(totals.oldest_ns)));
}

void AddRetention(Families& families, const ServerStats& stats, const Store::Totals& totals) {
  constexpr std::array<const char*, kRetentionCauses> kCauses = {"age", "files", "bytes", "space"};
  for (size_t i = 0; i < kRetentionCauses; ++i) {
    families.Add(Type::Counter, "steno_retention_deleted_files_total", "Packet files deleted, by the limit.",
                 {{"cause", kCauses[i]}}, static_cast<double>(stats.deleted_files[i].load()));
    families.Add(Type::Counter, "steno_retention_deleted_bytes_total",
                 "Bytes on disk of these files and their indexes.", {{"cause", kCauses[i]}},
                 static_cast<double>(stats.deleted_bytes[i].load()));
  }
  for (const auto& directory : totals.directories) {
    families.Add(Type::Gauge, "steno_directory_oldest_packet_timestamp_seconds",
                 "Time of the oldest packet in a directory; 0 if there is none.",
                 {{"directory", directory.packets_directory}},
                 Seconds(static_cast<double>(directory.oldest_ns)));
    const auto space = MeasureSpace(directory.packets_directory);
    if (!space) continue;
    families.Add(Type::Gauge, "steno_directory_free_bytes",
                 "Free space of a directory, to its quota if it has one.",
                 {{"directory", directory.packets_directory}}, static_cast<double>(space->free_bytes));
    families.Add(Type::Gauge, "steno_directory_size_bytes", "What of that there is in all.",
                 {{"directory", directory.packets_directory}}, static_cast<double>(space->total_bytes));
  }
}

void AddIndexCache(Families& families, const IndexCache::Totals& cache) {
  families.Add(Type::Gauge, "steno_index_cache_bytes", "Memory taken by what is kept of indexes.", {},
               static_cast<double>(cache.bytes));
  families.Add(Type::Gauge, "steno_index_cache_limit_bytes", "Memory allowed for that.", {},
               static_cast<double>(cache.limit_bytes));
  const char* const name = "steno_index_cache_files";
  const char* const help = "Files of whose indexes something is kept, by what.";
  families.Add(Type::Gauge, name, help, {{"kept", "filters"}}, static_cast<double>(cache.files_with_filters));
  families.Add(Type::Gauge, name, help, {{"kept", "fences"}}, static_cast<double>(cache.files_with_fences));
  families.Add(Type::Counter, "steno_index_cache_evictions_total", "Times that something was dropped.", {},
               static_cast<double>(cache.evictions));
  families.Add(Type::Gauge, "steno_index_cache_claimed_bytes",
               "Of the memory taken, what is kept of indexes of the incumbent.", {},
               static_cast<double>(cache.claimed_bytes));
  families.Add(Type::Counter, "steno_index_cache_refused_total",
               "Times that there was no room for it: blocks with gaps are read whole.", {},
               static_cast<double>(cache.refused_claims));
}

// Names as all programs have them that Prometheus asks.
void AddProcess(Families& families) {
  families.Add(Type::Gauge, "steno_build_info", "Always 1; the version is the label.",
               {{"version", kServerVersion}}, 1);
  if (const auto usage = ReadProcessUsage(::getpid())) {
    families.Add(Type::Counter, "process_cpu_seconds_total", "Processor time of the server.", {},
                 usage->cpu_seconds);
    families.Add(Type::Gauge, "process_start_time_seconds", "When the server started, since the epoch.", {},
                 usage->start_seconds);
    families.Add(Type::Gauge, "process_resident_memory_bytes", "Resident memory of the server.", {},
                 static_cast<double>(usage->resident_bytes));
    families.Add(Type::Gauge, "process_virtual_memory_bytes", "Virtual memory of the server.", {},
                 static_cast<double>(usage->virtual_bytes));
  }
  const DescriptorUsage descriptors = ReadDescriptorUsage();
  families.Add(Type::Gauge, "process_open_fds", "Open descriptors of the server.", {},
               static_cast<double>(descriptors.open));
  families.Add(Type::Gauge, "process_max_fds", "Descriptors that it may have open.", {},
               static_cast<double>(descriptors.limit));
}

}  // namespace

std::string MetricsPage(const ServerStats& stats, const Store::Totals& totals,
                        const std::vector<CaptureState>& captures) {
  Families families;
  for (const CaptureState& capture : captures) AddInterface(families, capture);
  for (const CaptureState& capture : captures) AddThreads(families, capture);
  AddFiles(families, totals);
  AddRetention(families, stats, totals);
  AddIndexCache(families, totals.index_cache);
  AddQueries(families, stats);
  AddShown(families, kServer, stats, {});
  AddProcess(families);
  return families.Text();
}

}  // namespace steno
