// A HTTP client for the tests of this folder: raw bytes over a Unix socket or TLS, and a reader of responses
// that shows chunks and trailers. Deliberately not made of the server's own parts.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/unique_fd.h"

namespace steno::testing {

struct TestResponse {
  int status = 0;                              // 0: the connection was closed before a response
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::map<std::string, std::string> trailers;
  size_t chunks = 0;
  bool whole = false;  // false: the connection was closed within the body
};

class TestClient {
 public:
  static TestClient Unix(const std::string& path) {
    TestClient client;
    client.fd_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    client.connected_ =
        ::connect(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return client;
  }

  // Plain TCP to the TLS port; StartTls() makes it a proper client.
  static TestClient Tcp(uint16_t port) {
    TestClient client;
    client.fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client.connected_ =
        ::connect(client.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return client;
  }

  // `name`: <certs>/<name>_cert.pem and _key.pem; empty: no certificate. Verifies the server for 127.0.0.1.
  // `suites`: of TLS 1.3, instead of OpenSSL's own choice.
  bool StartTls(const std::string& certs, const std::string& name, int version = TLS1_3_VERSION,
                const char* suites = nullptr) {
    context_.reset(::SSL_CTX_new(::TLS_client_method()));
    if (suites != nullptr) ::SSL_CTX_set_ciphersuites(context_.get(), suites);
    ::SSL_CTX_set_max_proto_version(context_.get(), version);
    ::SSL_CTX_load_verify_locations(context_.get(), (certs + "/ca_cert.pem").c_str(), nullptr);
    ::SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    if (!name.empty()) {
      ::SSL_CTX_use_certificate_file(context_.get(), (certs + "/" + name + "_cert.pem").c_str(),
                                     SSL_FILETYPE_PEM);
      ::SSL_CTX_use_PrivateKey_file(context_.get(), (certs + "/" + name + "_key.pem").c_str(),
                                    SSL_FILETYPE_PEM);
    }
    ssl_.reset(::SSL_new(context_.get()));
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl_.get()), "127.0.0.1");
    ::SSL_set_fd(ssl_.get(), fd_.get());
    return ::SSL_connect(ssl_.get()) == 1;
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Of StartTls(), for what only some tests do.
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  void Close() {
    ssl_.reset();
    fd_.reset();
  }

  bool Send(const std::string& text) {
    if (ssl_) return ::SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) > 0;
    return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  // Reads what comes next into the buffer; false at the end, on an error, or after 10 s.
  bool Fill() {
    char bytes[65536];
    pollfd event{fd_.get(), POLLIN, 0};
    if (!(ssl_ && ::SSL_pending(ssl_.get()) > 0) && ::poll(&event, 1, 10'000) <= 0) return false;
    const ssize_t got =
        ssl_ ? ::SSL_read(ssl_.get(), bytes, sizeof bytes) : ::recv(fd_.get(), bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  // The next line without CR LF; false if the connection ends before.
  bool Line(std::string& line) {
    size_t end = 0;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (!Fill()) return false;
    }
    line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return true;
  }

  TestResponse Read() {
    TestResponse response;
    std::string line;
    if (!Line(line)) return response;
    response.status = std::atoi(line.substr(line.find(' ') + 1).c_str());
    if (!Fields(response.headers)) return response;
    if (response.status == 100) return response;
    const auto encoding = response.headers.find("transfer-encoding");
    if (response.headers.contains("content-length")) {
      response.whole = Take(std::stoul(response.headers["content-length"]), response.body);
    } else if (encoding != response.headers.end() && encoding->second == "chunked") {
      response.whole = Chunks(response);
    } else {
      while (Fill()) {
      }
      response.body = std::move(buffer_);
      response.whole = true;
    }
    return response;
  }

  TestResponse Ask(const std::string& request) { return Send(request) ? Read() : TestResponse{}; }
  TestResponse Query(const std::string& text, const std::string& headers = {}) {
    return Ask("POST /query HTTP/1.1\r\nHost: x\r\n" + headers +
               "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
  }
  TestResponse Get(const std::string& path) { return Ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); }

 private:
  bool Take(size_t bytes, std::string& out) {
    while (buffer_.size() < bytes) {
      if (!Fill()) return false;
    }
    out += buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
    return true;
  }

  bool Fields(std::map<std::string, std::string>& out) {
    for (std::string line; Line(line);) {
      if (line.empty()) return true;
      std::string name = line.substr(0, line.find(':'));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return static_cast<char>(std::tolower(c)); });
      out[name] = line.substr(std::min(line.size(), name.size() + 2));
    }
    return false;
  }

  bool Chunks(TestResponse& response) {
    for (std::string line; Line(line);) {
      const size_t bytes = std::stoul(line, nullptr, 16);
      if (bytes == 0) return Fields(response.trailers);
      ++response.chunks;
      std::string end;
      if (!Take(bytes, response.body) || !Take(2, end) || end != "\r\n") return false;
    }
    return false;
  }

  struct Free {
    void operator()(SSL* ssl) const { ::SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  UniqueFd fd_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace steno::testing
