// TLS on an accepted TCP connection, by OpenSSL.
#pragma once

#include "server/http/boost.h"

#include <openssl/ssl.h>

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "server/http/transport.h"
#include "server/message_limiter.h"
#include "server/server_stats.h"

namespace steno {

// Handshakes that fail are counted in `stats` and told to `log`; both are borrowed. The connection keeps a
// reference to `settings`, so that it goes on with them when the server has others.
//
// An idle connection takes a few KiB besides OpenSSL's own, one that is being written to up to 64 KiB more.
// std::bad_alloc if there is no memory.
std::shared_ptr<Transport> MakeTlsTransport(boost::asio::ip::tcp::socket socket, SSL_CTX* settings,
                                            ServerStats& stats, MessageLimiter& log);

}  // namespace steno
