#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <steno.grpc.pb.h>

#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "query/parse.h"
#include "server/message_limiter.h"
#include "server/printable.h"
#include "server/rpc/grpc_credentials.h"
#include "server/rpc/grpc_retrieve.h"
#include "server/rpc/rpc_server.h"

namespace steno {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kStopGrace{2};
constexpr int kStreamsPerConnection = 64;
constexpr int kMaxRequestBytes = static_cast<int>(kMaxQueryBytes) + 4096;
// Reflection is the one service that keeps a thread while a call waits.
constexpr int kMaxThreads = 8;

class Service final : public Stenographer::CallbackService {
 public:
  explicit Service(const RetrieveContext& context) : context_(context) {}

  grpc::ServerWriteReactor<PcapResponse>* RetrievePcap(grpc::CallbackServerContext* call,
                                                       const PcapRequest* request) override {
    const auto retrieve = std::make_shared<RetrieveCall>(context_, *call);
    retrieve->Begin(*request);
    calls_.Add(retrieve);
    return retrieve.get();  // owns itself by now
  }

 private:
  const RetrieveContext context_;
  RetrieveCalls calls_;
};

// What gRPC has to say, failed handshakes above all, goes into the server's log.
void LogOfGrpc(gpr_log_func_args* message) {
  static MessageLimiter limiter(10 * kNsPerSecond);
  if (message->severity != GPR_LOG_SEVERITY_ERROR) return;
  if (const auto held_back = limiter.Allow(MonotonicNs()))
    STENO_WARN("gRPC: {} ({} more not shown)", Printable(message->message), *held_back);
}

std::string AddressOf(const RpcConfig& config) {
  if (config.host.empty()) return fmt::format("[::]:{}", config.port);
  const bool v6 = config.host.find(':') != config.host.npos;
  return fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), config.host, config.port);
}

// Connections that are dead or ask too often are closed; nobody else may listen on the same port.
void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 900'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  grpc::ResourceQuota quota("rpc");
  builder.SetResourceQuota(quota.SetMaxThreads(kMaxThreads));
}

}  // namespace

struct RpcServer::Impl {
  Impl(const RpcConfig& rpc_config, const TlsConfig& tls, QueryService& queries, Admission& admission,
       std::chrono::milliseconds slot_wait)
      : config(rpc_config),
        credentials(config, tls, admission),
        service({config, queries, admission, slot_wait}) {}

  Status Listen();
  void BeginStop();
  void Stop();

  const RpcConfig config;
  RpcCredentials credentials;
  Service service;
  std::unique_ptr<grpc::Server> server;
  std::optional<steady_clock::time_point> stop_end;
};

Status RpcServer::Impl::Listen() {
  ::gpr_set_log_function(LogOfGrpc);
  ::gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  STENO_TRY(const auto server_credentials, credentials.Make());
  const std::string address = AddressOf(config);
  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.AddListeningPort(address, server_credentials);
  builder.RegisterService(&service);
  server = builder.BuildAndStart();
  if (!server) {
    return Fail(Error::Invalid(
        fmt::format("Rpc.Host, Rpc.ServerPort: gRPC cannot listen on {}: see the log", address)));
  }
  server->GetHealthCheckService()->SetServingStatus(Stenographer::service_full_name(), true);
  STENO_INFO("listening for gRPC clients on {}", address);
  return {};
}

void RpcServer::Impl::BeginStop() {
  if (stop_end) return;
  stop_end = steady_clock::now() + kStopGrace;
  if (server) server->GetHealthCheckService()->Shutdown();
}

void RpcServer::Impl::Stop() {
  BeginStop();
  if (!server) return;
  const auto left = *stop_end - steady_clock::now();
  server->Shutdown(std::chrono::system_clock::now() + left);
  server.reset();
}

Result<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcConfig& config, const TlsConfig& tls,
                                                    QueryService& queries, Admission& admission,
                                                    std::chrono::milliseconds slot_wait) {
  auto impl = std::make_unique<Impl>(config, tls, queries, admission, slot_wait);
  STENO_CHECK_OK(impl->Listen());
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RpcServer::~RpcServer() { Stop(); }
void RpcServer::SetRevocationList(const std::string& path) { impl_->credentials.SetRevocationList(path); }
void RpcServer::BeginStop() { impl_->BeginStop(); }
void RpcServer::Stop() { impl_->Stop(); }

}  // namespace steno
