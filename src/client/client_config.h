// What a client needs of the server's configuration file, and the places where that server may be reached.
//
// Plain values. The file is the server's own JSON file ("Host", "Port", "CertPath", "UnixSocket"; // and /*
// */ comments are allowed); keys that a client does not need are ignored. Like Go's decoder, which defined
// the format, keys match in any letter case; absent ones have the server's defaults.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace steno {

struct ClientConfig {
  std::string host = "127.0.0.1";                     // empty: the server listens on all addresses
  uint16_t port = 1234;                               // 0: it does not listen on TCP
  std::string cert_path = "/etc/stenographer/certs";  // of client_cert.pem, client_key.pem and ca_cert.pem
  std::string unix_socket;                            // empty: the server has none
};

// One way to the server, in words and as a URL.
struct Endpoint {
  std::string url;          // "https://127.0.0.1:1234", without a path
  std::string unix_socket;  // connect here instead of to the URL's host; no certificates then
  [[nodiscard]] std::string Describe() const { return unix_socket.empty() ? url : "unix:" + unix_socket; }
};

// `name` is for messages.
Result<ClientConfig> ParseClientConfig(std::string_view text, const std::string& name);
Result<ClientConfig> LoadClientConfig(const std::string& path);

// The ways to try, best first. A server that listens on all addresses ("", "0.0.0.0", "::") is asked over
// loopback, and after that under the literal name, for which older certificates were made. kInvalid if there
// is none.
Result<std::vector<Endpoint>> Endpoints(const ClientConfig& config);

}  // namespace steno
