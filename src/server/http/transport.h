// Transport: an accepted connection as a stream of bytes, TLS or not; what HTTP sessions run on.
//
// Used on the I/O thread only. Every operation ends in bounded time: ExpireAfter() closes the connection when
// its time is over, and the operation in progress then fails. No exceptions for I/O errors.
#pragma once

#include "server/http/boost.h"

#include <chrono>
#include <span>
#include "server/client_identity.h"

namespace steno {

struct IoResult {
  boost::system::error_code error;
  size_t bytes = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // The TLS handshake, if there is one. False: the connection is of no use.
  virtual boost::asio::awaitable<bool> Handshake() = 0;
  // Reads at least one byte; error or 0 bytes at the end.
  virtual boost::asio::awaitable<IoResult> ReadSome(boost::asio::mutable_buffer buffer) = 0;
  // Writes all of `buffers`, which stay in place until it ends.
  virtual boost::asio::awaitable<IoResult> Write(std::span<const boost::asio::const_buffer> buffers) = 0;
  // Says that nothing more will be sent.
  virtual boost::asio::awaitable<void> ShutdownSend() = 0;
  virtual void Close() = 0;

  // Replaces the time limit: from now on, for all operations together.
  virtual void ExpireAfter(std::chrono::milliseconds time) = 0;

  [[nodiscard]] virtual int fd() const = 0;
  // Who the client is, once the handshake is done.
  [[nodiscard]] virtual ClientIdentity Peer() const = 0;
};

}  // namespace steno
