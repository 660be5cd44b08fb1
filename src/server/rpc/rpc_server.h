// RpcServer: the gRPC service steno.Stenographer with its own TLS listener, and the services grpc.health.v1
// and reflection beside it.
//
// Calls take no thread while they wait: for their query, or for a client that reads slowly. A client that
// leaves, or whose deadline passes, ends its query at once. In a build without gRPC the server does nothing
// but warn that it does not listen.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/admission.h"
#include "server/config.h"
#include "server/query_service.h"

namespace steno {

class RpcServer {
 public:
  // Listens; the error names the configuration key. `queries` and `admission` must outlive the server.
  // Of `tls` the revocation list counts. `slot_wait`: how long a query may wait for its turn.
  static Result<std::unique_ptr<RpcServer>> Start(const RpcConfig& config, const TlsConfig& tls,
                                                  QueryService& queries, Admission& admission,
                                                  std::chrono::milliseconds slot_wait = kSlotWait);
  ~RpcServer();  // as Stop()
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // The file that is looked into from now on when a client connects; empty: none.
  void SetRevocationList(const std::string& path);

  // Says in the health service that it will not serve any more. Begins the two seconds that calls have to end
  // after their queries have been cancelled.
  void BeginStop();
  // Listens no more, waits for what is left of that time, and ends the calls that are still there.
  void Stop();

 private:
  static constexpr std::chrono::milliseconds kSlotWait{10'000};

  struct Impl;
  explicit RpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
