// Routes: a request -> a reply, or a query to run. No I/O, no HTTP library: what the server answers is
// decided here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/admission.h"
#include "server/http/reply.h"
#include "server/query_service.h"
#include "server/server_stats.h"

namespace steno {

struct HttpRequest {
  std::string method{};
  std::string target{};
  std::string body{};
  std::optional<std::string> limit_packets{};  // Steno-Limit-Packets
  std::optional<std::string> limit_bytes{};    // Steno-Limit-Bytes
  std::optional<std::string> accept{};         // Accept
  ClientIdentity client{};
};

// What the pages other than queries show. The functions may be called from any thread.
struct ServerPages {
  std::function<std::string()> stats;                   // /debug/stats
  std::function<std::string()> metrics;                 // /metrics
  std::function<std::string()> config;                  // /debug/config
  std::function<std::vector<std::string>()> not_ready;  // /readyz: reasons, none if ready
  std::function<std::string()> status{};                // /status
};

// `now_ns`: wall clock, what relative times in queries count back from.
std::variant<HttpReply, QueryJob> Route(const HttpRequest& request, const ServerPages& pages,
                                        Admission& admission, int64_t now_ns);

// On the listener for metrics: /metrics, /healthz and /readyz, for everybody.
std::variant<HttpReply, QueryJob> RouteMetrics(const HttpRequest& request, const ServerPages& pages);

}  // namespace steno
