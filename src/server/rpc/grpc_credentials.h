// The TLS of the gRPC listener: TLS 1.2 or later, its own certificate, and client certificates required and
// verified. Files that change are read again within ten seconds.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "base/result.h"
#include "server/admission.h"
#include "server/config.h"

namespace steno {

// Whom `admission` refuses everything does not get past the handshake; it must outlive the credentials. The
// error names the configuration key.
Result<std::shared_ptr<grpc::ServerCredentials>> MakeRpcCredentials(const RpcConfig& config,
                                                                    Admission& admission);

}  // namespace steno
