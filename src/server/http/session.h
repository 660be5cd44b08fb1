// Session: HTTP/1.1 on one connection: requests one after another, replies, and the streaming of query
// results.
//
// Runs on the I/O thread; queries run on the query service's threads and wake it.
#pragma once

#include "server/http/boost.h"

#include <memory>

#include "server/http/routes.h"
#include "server/http/transport.h"
#include "server/http/waker.h"
#include "server/query_service.h"

namespace steno {

struct SessionContext {
  QueryService& queries;
  Admission& admission;
  const ServerPages& pages;
  Waker& waker;
  const bool& stopping;       // the server is about to end: no further request
  bool metrics_only = false;  // RouteMetrics() answers
  std::chrono::milliseconds slot_wait{10'000};
};

class Session {
 public:
  Session(std::shared_ptr<Transport> transport, const SessionContext& context);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Until the client leaves, breaks the protocol or is too slow, or the server stops. The session outlives
  // the coroutine.
  boost::asio::awaitable<void> Run();

  // True while no request is being answered: the connection may be closed at any moment.
  [[nodiscard]] bool idle() const;
  void Close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
