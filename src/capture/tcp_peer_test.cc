#include "capture/tcp_peer.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>
#include <tuple>
#include <vector>

#include "capture/capture_fixture.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

TEST(TcpPeerTest, ReadsNamesAndAddresses) {
  const auto read = [](const char* text) {
    const auto peer = ParseTcpPeer(text);
    return peer ? peer->host + " " + peer->port : peer.error().message;
  };
  EXPECT_EQ(read("tcp@127.0.0.1:57012"), "127.0.0.1 57012");
  EXPECT_EQ(read("TCP@Sensor.example:1"), "Sensor.example 1");
  EXPECT_EQ(read("Tcp@[2001:db8::1]:65535"), "2001:db8::1 65535");
  EXPECT_EQ(read("tcp@::1:57012"), "::1 57012");
  for (const char* wrong : {"tcp@", "tcp@host", "tcp@host:", "tcp@:5", "tcp@host:0", "tcp@host:65536",
                            "tcp@host:http", "tcp@[]:5", "eth0", "tc"}) {
    EXPECT_THAT(read(wrong), HasSubstr("expected tcp@HOST:PORT")) << wrong;
  }
  EXPECT_TRUE(IsTcpPeer("tcp@x:1") && IsTcpPeer("TCP@") && !IsTcpPeer("tcp0") && !IsTcpPeer(""));
}

class Connecting : public ::testing::Test {
 protected:
  Connecting() { EXPECT_TRUE(stop_.Open()); }

  // A socket that listens at a free port of `host`; its port.
  std::string Listen(int family, const char* host) {
    listener_.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    sockaddr_in four{};
    four.sin_family = AF_INET;
    ::inet_pton(family, host, family == AF_INET ? static_cast<void*>(&four.sin_addr) : &six.sin6_addr);
    auto* address =
        family == AF_INET ? reinterpret_cast<sockaddr*>(&four) : reinterpret_cast<sockaddr*>(&six);
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;
    if (::bind(listener_.get(), address, size) != 0 || ::listen(listener_.get(), 5) != 0) return "";
    ::getsockname(listener_.get(), address, &size);
    return std::to_string(ntohs(family == AF_INET ? four.sin_port : six.sin6_port));
  }

  StopEvent stop_;
  UniqueFd listener_;
};

TEST_F(Connecting, ByAddressAndByName) {
  for (const auto& [family, listen, host] : {std::tuple{AF_INET, "127.0.0.1", "127.0.0.1"},
                                             {AF_INET, "127.0.0.1", "localhost"},
                                             {AF_INET6, "::1", "::1"}}) {
    const std::string port = Listen(family, listen);
    if (port.empty()) continue;  // no such family here
    const auto fd = TcpConnector({host, port}).Connect(stop_, INT64_MAX);
    ASSERT_TRUE(fd) << host << ": " << fd.error().message;
    const UniqueFd accepted(::accept(listener_.get(), nullptr, nullptr));
    ASSERT_EQ(::send(accepted.get(), "x", 1, 0), 1);
    EXPECT_TRUE(stop_.WaitFor(fd->get(), POLLIN, 5000));
    int keep_alive = 0;
    socklen_t size = sizeof keep_alive;
    ::getsockopt(fd->get(), SOL_SOCKET, SO_KEEPALIVE, &keep_alive, &size);
    EXPECT_EQ(keep_alive, 1);
  }
}

TEST_F(Connecting, FailuresSayWhy) {
  const std::string port = Listen(AF_INET, "127.0.0.1");
  listener_.reset();
  const auto refused = TcpConnector({"127.0.0.1", port}).Connect(stop_, INT64_MAX);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("Connection refused"));
  const auto unknown =
      TcpConnector({"no-such-host.invalid", port}).Connect(stop_, MonotonicNs() + kNsPerSecond);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("look up no-such-host.invalid"));
}

// A listener whose queue is full answers no further connection: the state of a peer that is gone.
TEST_F(Connecting, AStopEndsTheWaitingForAPeerThatDoesNotAnswer) {
  const std::string port = Listen(AF_INET, "127.0.0.1");
  ASSERT_EQ(::listen(listener_.get(), 0), 0);
  std::vector<UniqueFd> queued;
  TcpConnector connector({"127.0.0.1", port});
  while (auto fd = connector.Connect(stop_, MonotonicNs() + 200 * kNsPerMs)) queued.push_back(std::move(*fd));
  std::thread stopper([this] {
    SleepMs(100);
    stop_.Request();
  });
  const auto stopped = connector.Connect(stop_, INT64_MAX);
  stopper.join();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace steno
