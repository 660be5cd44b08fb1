#include "server/client_identity.h"

#include "server/printable.h"

namespace steno {

std::string ClientIdentity::Text() const {
  const char* const prefix = kind == Kind::kCertificate ? "CN=" : "user=";
  return prefix + Printable(name, 128) + (address.empty() ? "" : " " + address);
}

}  // namespace steno
