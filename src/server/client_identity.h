// ClientIdentity: who is at the other end of a connection, as far as the connection proves it. Plain values.
#pragma once

#include <string>

namespace steno {

struct ClientIdentity {
  enum class Kind { kCertificate, kUnixUser };
  Kind kind = Kind::kCertificate;
  std::string
      name;  // common name of the verified certificate, or the user's name (its number if it has none)
  std::string address;  // "192.0.2.1:4711", or "pid=12" of a local process

  // For logs: "CN=ann 192.0.2.1:4711" or "user=ann pid=12". Printable.
  [[nodiscard]] std::string Text() const;
};

}  // namespace steno
