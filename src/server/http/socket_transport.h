// What the kinds of connections share: the socket, its descriptor, the time limit, closing.
#pragma once

#include "server/http/boost.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "server/http/transport.h"

namespace steno {

// Operations answer with an error code and do not throw.
inline constexpr auto kNoThrow = boost::asio::as_tuple(boost::asio::use_awaitable);

template <class Socket>
class SocketTransport : public Transport, public std::enable_shared_from_this<SocketTransport<Socket>> {
 public:
  explicit SocketTransport(Socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {}

  void Close() override {
    timer_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  void ExpireAfter(std::chrono::milliseconds time) override {
    timer_.expires_after(time);
    timer_.async_wait([weak = this->weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->Close();
    });
  }
  [[nodiscard]] int fd() const override { return const_cast<Socket&>(socket_).native_handle(); }

 protected:
  Socket socket_;

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace steno
