// What a call of RetrievePcap asks for besides its query, brought within the limits of the configuration.
// Pure functions, without gRPC.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "server/config.h"

namespace steno {

struct RetrieveTerms {
  std::string uid;           // empty: the client leaves the choice to the server
  uint64_t chunk_bytes = 0;  // of the result in one message, at most
  uint64_t max_bytes = 0;    // of the result; 0: no limit
};

// The numbers as they are in the request. kInvalid: a negative number, a uid of more than 256 bytes.
Result<RetrieveTerms> TermsOf(std::string uid, int64_t chunk_size, int64_t max_size, const RpcConfig& config);

// A random UUID (version 4).
std::string MakeUid();

}  // namespace steno
