// Connection: sends one query to a server and streams the answer. The only user of libcurl.
//
// Blocking; call FetchQuery() from one thread at a time. Protocol: POST /query, the body is the query text;
// limits go in the headers Steno-Limit-Packets and Steno-Limit-Bytes; the answer is a pcap stream in chunks,
// and the trailers Steno-Complete and Steno-Reason tell whether it is whole (docs/API.md). A server that
// sends no trailers is believed when its last chunk arrives.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/client_config.h"

namespace steno {

struct QueryRequest {
  std::string query;
  std::optional<uint64_t> limit_packets;
  std::optional<uint64_t> limit_bytes;
  int64_t max_time_seconds = 0;  // for the whole transfer; 0 = no limit
  std::string path = "/query";   // and parameters
};

// Where the packets go.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  // The next bytes of a successful answer. False ends the transfer: the consumer wants no more, or has
  // failed.
  virtual bool Write(std::span<const uint8_t> bytes) = 0;
  // Asked about every second while the server is silent; false ends the transfer.
  virtual bool WantsMore() = 0;
};

// How an exchange with a server ended. Errors that came before an answer are not here: FetchQuery() returns
// them.
struct QueryOutcome {
  enum class Kind : uint8_t {
    kComplete,   // whole, or cut by a limit that the request asked for
    kStopped,    // the sink wanted no more
    kRefused,    // the server answered an HTTP error; `text` is what it said
    kIncomplete  // cut: time, an error on the server, a broken connection; `text` says which
  };
  Kind kind = Kind::kComplete;
  long http_status = 0;
  uint64_t bytes = 0;  // of the answer that reached the sink
  std::string text;
};

// Asks the endpoints in order; the first that a connection (and, over TLS, mutual trust) can be made with
// gets the query. kIo with one clause per endpoint if none could be reached.
Result<QueryOutcome> FetchQuery(const std::vector<Endpoint>& endpoints, const std::string& cert_path,
                                const QueryRequest& request, ResultSink& sink);

}  // namespace steno
