// Who is at the other end of a gRPC call. A pure function.
#pragma once

#include <grpcpp/grpcpp.h>

#include "server/client_identity.h"

namespace steno {

// The common name of the verified certificate, and the address.
ClientIdentity PeerOf(const grpc::ServerContextBase& call);

}  // namespace steno
