// The TLS of the gRPC listener: TLS 1.2 or later, its own certificate, and client certificates required and
// verified. Files that change are read again within ten seconds, revocation lists at every handshake.
//
// Thread-safe. Outlives the credentials that it has made.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "server/admission.h"
#include "server/client_identity.h"
#include "server/config.h"
#include "server/http/tls_context.h"

namespace steno {

class RpcCredentials {
 public:
  // `admission` must outlive this.
  RpcCredentials(const RpcConfig& config, const TlsConfig& tls, Admission& admission)
      : admission_(admission), files_(TlsFilesOf(config, tls)) {}
  RpcCredentials(const RpcCredentials&) = delete;
  RpcCredentials& operator=(const RpcCredentials&) = delete;

  // The error names the configuration key.
  Result<std::shared_ptr<grpc::ServerCredentials>> Make();

  // From the next handshake on; empty: none.
  void SetRevocationList(const std::string& path);

  // Whether a client whose certificate gRPC has verified gets past the handshake: not if it was revoked, nor
  // if admission refuses it everything. `certificate` and `chain` as it sent them, in PEM.
  grpc::Status Check(const ClientIdentity& client, std::string_view certificate, std::string_view chain);

 private:
  TlsFiles files();

  Admission& admission_;
  std::mutex mutex_;
  TlsFiles files_;  // guarded by mutex_
};

}  // namespace steno
