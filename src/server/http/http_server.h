// HttpServer: listens for TLS clients on a TCP port and for local users on a Unix socket, and runs a session
// for each.
//
// One I/O thread. A client that breaks the protocol, is too slow or leaves costs the server nothing but its
// session.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/http/routes.h"
#include "server/query_service.h"

namespace steno {

struct HttpServerOptions {
  bool tls = true;
  std::string host = "127.0.0.1";
  uint16_t port = 1234;  // 0: any free one
  std::string cert_path;
  std::string unix_socket;  // empty: none
  std::string unix_socket_group;
  unsigned max_connections = 256;               // further clients wait to be accepted
  std::chrono::milliseconds slot_wait{10'000};  // how long a query may wait for its turn
};

class HttpServer {
 public:
  // Listens; the error names the configuration key. `queries` and `admission` must outlive the server.
  static Result<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, QueryService& queries,
                                                   Admission& admission, ServerPages pages);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Accepts nothing more, cancels all queries of the service, gives sessions two seconds to say so to their
  // clients, and closes them.
  void Stop();

  // The TCP port that was bound; 0 without TLS.
  [[nodiscard]] uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
