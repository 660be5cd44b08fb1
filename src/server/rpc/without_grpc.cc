// The RpcServer of a build without gRPC.
#include "base/log.h"
#include "server/rpc/rpc_server.h"

namespace steno {

struct RpcServer::Impl {};

Result<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcConfig& config, const TlsConfig&, QueryService&,
                                                    Admission&, std::chrono::milliseconds) {
  STENO_WARN("Rpc: without effect: this program was built without gRPC; nothing listens on port {}",
             config.port);
  return std::unique_ptr<RpcServer>(new RpcServer(nullptr));
}

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RpcServer::~RpcServer() = default;
void RpcServer::SetRevocationList(const std::string&) {}
void RpcServer::BeginStop() {}
void RpcServer::Stop() {}

}  // namespace steno
