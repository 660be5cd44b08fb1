#include "server/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <mutex>

#include "base/clock.h"
#include "base/log.h"
#include "query/memory_budget.h"
#include "query/store.h"
#include "server/admission.h"
#include "server/audit_log.h"
#include "server/capture_group.h"
#include "server/capture_pressure.h"
#include "server/capture_rates.h"
#include "server/http/http_server.h"
#include "server/index_rebuilder.h"
#include "server/maintenance.h"
#include "server/metrics.h"
#include "server/notify.h"
#include "server/query_service.h"
#include "server/rpc/rpc_server.h"
#include "server/service_watch.h"
#include "server/stats_page.h"
#include "server/status_page.h"

namespace steno {
namespace {

std::vector<StoreDirectory> WithoutLimits(const std::vector<RetentionDirectory>& directories) {
  std::vector<StoreDirectory> plain;
  for (const auto& directory : directories)
    plain.push_back({directory.packets_directory, directory.index_directory});
  return plain;
}

// A query over many files holds many of them open.
void RaiseFileLimit(uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min<rlim_t>(wanted, limit.rlim_max));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

HttpServerOptions HttpOptions(const ServerConfig& config) {
  HttpServerOptions options;
  options.tls = config.port != 0;
  options.host = config.host;
  options.port = config.port;
  options.tls_files = TlsFilesOf(config);
  options.metrics_host = config.metrics.host;
  options.metrics_port = config.metrics.port;
  options.unix_socket = config.unix_socket;
  options.unix_socket_group = config.unix_socket_group;
  options.max_connections = config.max_connections;
  return options;
}

constexpr std::chrono::milliseconds kGovernPause{100};
constexpr std::chrono::milliseconds kAnswerTime{5000};  // of the network thread, which never waits
constexpr int64_t kStuckNs = 300 * kNsPerSecond;        // of threads that read and delete files

// With what each of 16 queries may hold of its own (4 MiB), its spare buffers (2 MiB) and its result on the
// way (2 MiB), 192 MiB; the rest up to 256 MiB is for what malloc() cannot give back.
constexpr uint64_t kQueryMemoryBytes = 64 << 20;

}  // namespace

// Members are destroyed in the reverse of this order: whoever calls is gone before whom it calls.
struct Server::Impl {
  explicit Impl(const ServerConfig& server_config)
      : config(server_config),
        store(SlotDirectories(config), {.index_cache_bytes = uint64_t{config.index_cache_mb} << 20}),
        governor(uint64_t{config.query.max_read_mbps} * 1'000'000) {}

  Status Start();
  Status TakeSockets(HttpServerOptions& options);
  std::string StatusText();
  std::string StuckThread();
  void WatchService();
  Result<ConfigChanges> Reload(const ServerConfig& fresh, std::vector<std::string> fresh_warnings);
  ServerConfig CurrentConfig();
  Status MakeQueries();
  ServerPages MakePages();
  void Govern();

  const int64_t started_ns = WallNs();
  const Notifier notifier = Notifier::FromEnvironment();
  std::vector<PassedSocket> passed;  // that have not been taken over
  std::mutex config_mutex;
  ServerConfig config;                // guarded by config_mutex once it runs
  std::vector<std::string> warnings;  // the same
  ServerStats stats;
  Store store;
  ReadGovernor governor;
  MemoryBudget memory{kQueryMemoryBytes};
  std::unique_ptr<AuditLog> audit;  // none if not configured
  std::unique_ptr<QueryService> queries;
  std::unique_ptr<Admission> admission;
  std::unique_ptr<IndexRebuilder> rebuilder;
  std::unique_ptr<Maintenance> maintenance;
  std::unique_ptr<CaptureGroup> captures;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<RpcServer> rpc;  // none if not configured
  CapturePressure pressure;
  CaptureRates rates;
  std::unique_ptr<Ticker> governing;
  std::unique_ptr<ServiceWatch> watch;
};

void Server::Impl::Govern() {
  const std::vector<CaptureState> states = captures->states();
  rates.Sample(states, MonotonicNs());
  governor.Adjust(pressure.Sample(states), MonotonicNs());
  const ReadGovernor::Totals totals = governor.totals();
  stats.read_bytes_per_second = totals.bytes_per_second;
  stats.read_waits = totals.waits;
  stats.read_wait_ns = static_cast<uint64_t>(totals.wait_ns);
  stats.reads_slowed = totals.slowed;
  stats.query_held_bytes = memory.used();
  stats.query_memory_refusals = memory.refusals();
}

ServerPages Server::Impl::MakePages() {
  return {[this] { return StatsPage(stats, store.totals(), captures->states()); },
          [this] { return MetricsPage(stats, store.totals(), captures->states()); },
          [this] { return ToJson(CurrentConfig()); },
          [this] { return NotReadyReasons(captures->states(), MonotonicNs()); },
          [this] { return StatusText(); }};
}

Status Server::Impl::MakeQueries() {
  if (!config.audit.path.empty()) {
    STENO_TRY(audit, AuditLog::Open(config.audit.path, stats));
  }
  const QueryServiceOptions options{config.query.max_concurrent,
                                    int64_t{config.query.timeout_seconds} * kNsPerSecond, &governor, &memory,
                                    audit.get()};
  queries = std::make_unique<QueryService>(store, options, stats);
  admission = std::make_unique<Admission>(config, stats, audit.get());
  return {};
}

Status Server::Impl::Start() {
  STENO_CHECK_OK(MakeQueries());
  const std::vector<RetentionDirectory> directories =
      DistinctDirectories(config.threads, config.interfaces.size());
  STENO_TRY(auto prepared, CaptureGroup::Prepare(config, store, [this] { maintenance->RequestRecovery(); }));
  rebuilder = std::make_unique<IndexRebuilder>(
      WithoutLimits(directories), stats,
      IndexRebuilder::Options{.bytes_per_second = uint64_t{config.rebuild_mbps} * 1'000'000});
  maintenance = std::make_unique<Maintenance>(
      directories, store, stats,
      [this](const std::vector<std::string>& paths) { rebuilder->AddOrphans(paths); });
  captures = std::move(prepared);
  HttpServerOptions options = HttpOptions(config);
  STENO_CHECK_OK(TakeSockets(options));
  STENO_TRY(http, HttpServer::Start(options, *queries, *admission, MakePages()));
  if (config.rpc) {
    STENO_TRY(rpc, RpcServer::Start(*config.rpc, config.tls, *queries, *admission));
  }
  captures->Start();
  governing = std::make_unique<Ticker>("read-governor", [this](const std::stop_token&) {
    Govern();
    return kGovernPause;
  });
  WatchService();
  return {};
}

// A socket of the service manager takes the place of one of the configuration: by its name "metrics", else by
// its kind.
Status Server::Impl::TakeSockets(HttpServerOptions& options) {
  for (PassedSocket& socket : passed) {
    int& place = socket.unix_socket         ? options.unix_fd
                 : socket.name == "metrics" ? options.metrics_fd
                                            : options.tls_fd;
    if (place >= 0)
      return Fail(
          Error::Invalid("the service manager has opened two sockets for one purpose: " + socket.name));
    place = socket.fd.release();
    STENO_INFO("taking over a socket of the service manager for {}", socket.unix_socket ? "UnixSocket"
                                                                     : socket.name == "metrics"
                                                                         ? "Metrics"
                                                                         : "Host, Port");
  }
  return {};
}

std::string Server::Impl::StatusText() {
  StatusInput input;
  input.started_ns = started_ns;
  input.captures = captures->states();
  input.rates = rates.rates();
  input.not_ready = NotReadyReasons(input.captures, MonotonicNs());
  {
    const std::lock_guard lock(config_mutex);
    input.config_warnings = warnings;
  }
  const ServerConfig current = CurrentConfig();
  input.directories =
      Retention::Explain(DistinctDirectories(current.threads, current.interfaces.size())).states;
  return StatusPage(input, stats);
}

std::string Server::Impl::StuckThread() {
  if (!http->Answers(kAnswerTime)) return "the network thread";
  std::vector<const Ticker*> tickers = maintenance->limit_keepers();
  tickers.push_back(governing.get());
  return StuckTicker(tickers, kStuckNs, MonotonicNs());
}

void Server::Impl::WatchService() {
  if (!notifier.listening()) return;
  watch = std::make_unique<ServiceWatch>(
      notifier, ServiceWatch::Sources{[this] { return captures->states(); },
                                      [this] { return NotReadyReasons(captures->states(), MonotonicNs()); },
                                      [this] { return StuckThread(); }});
}

ServerConfig Server::Impl::CurrentConfig() {
  const std::lock_guard lock(config_mutex);
  return config;
}

// What can fail comes first.
Result<ConfigChanges> Server::Impl::Reload(const ServerConfig& fresh,
                                           std::vector<std::string> fresh_warnings) {
  ConfigChanges changes = CompareConfigs(CurrentConfig(), fresh);
  const ServerConfig& effective = changes.effective;
  STENO_CHECK_OK(http->ReloadTls(TlsFilesOf(effective)));
  if (rpc) rpc->SetRevocationList(effective.tls.revocation_list);
  admission->Reconfigure(effective);
  queries->SetTimeout(int64_t{effective.query.timeout_seconds} * kNsPerSecond);
  maintenance->SetLimits(DistinctDirectories(effective.threads, effective.interfaces.size()));
  governor.SetLimit(uint64_t{effective.query.max_read_mbps} * 1'000'000);
  const std::lock_guard lock(config_mutex);
  config = effective;
  warnings = std::move(fresh_warnings);
  return changes;
}

Result<std::unique_ptr<Server>> Server::Start(const ServerConfig& config, std::vector<std::string> warnings) {
  RaiseFileLimit(config.max_open_files);
  auto impl = std::make_unique<Impl>(config);
  impl->warnings = std::move(warnings);
  STENO_TRY(impl->passed, TakePassedSockets());
  STENO_CHECK_OK(impl->Start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Stop(); }

Result<ConfigChanges> Server::Reload(const ServerConfig& config, std::vector<std::string> warnings) {
  return impl_->Reload(config, std::move(warnings));
}

void Server::BeginReload() { impl_->notifier.Reloading(); }

void Server::EndReload() { impl_->notifier.Ready(); }

void Server::Stop() {
  if (impl_->watch) impl_->watch->Stop();
  impl_->notifier.Stopping();
  impl_->captures->RequestStop();  // it ends while the clients are told
  if (impl_->rpc) impl_->rpc->BeginStop();
  impl_->http->Stop();  // cancels all queries, those of gRPC as well
  if (impl_->rpc) impl_->rpc->Stop();
  impl_->captures->Stop();
}

}  // namespace steno
