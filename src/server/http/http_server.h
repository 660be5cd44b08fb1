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
#include "server/http/tls_context.h"
#include "server/query_service.h"

namespace steno {

struct HttpServerOptions {
  bool tls = true;
  std::string host = "127.0.0.1";
  uint16_t port = 1234;  // 0: any free one
  TlsFiles tls_files{};
  std::string unix_socket;  // empty: none
  std::string unix_socket_group;
  std::string metrics_host;
  uint16_t metrics_port = 0;  // for /metrics, /healthz and /readyz without TLS; 0: none
  // Listening sockets to take over instead of opening these; -1: none.
  int tls_fd = -1;
  int unix_fd = -1;
  int metrics_fd = -1;
  unsigned max_connections = 512;               // further clients wait to be accepted
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

  // Reads the certificates again, for the connections to come; those that are open go on with what they have.
  // After an error all is as before.
  Status ReloadTls(const TlsFiles& files);

  // Accepts nothing more, cancels all queries of the service, gives sessions two seconds to say so to their
  // clients, and closes them.
  void Stop();

  // Whether the I/O thread does something that it is asked to within the time.
  [[nodiscard]] bool Answers(std::chrono::milliseconds within);

  // The TCP port that was bound; 0 without TLS.
  [[nodiscard]] uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
