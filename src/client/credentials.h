// The three PEM files of a client, and a clear word when they cannot be used. Thread-safe.
#pragma once

#include <string>

#include "base/result.h"

namespace steno {

struct Credentials {
  std::string certificate;  // client_cert.pem
  std::string key;          // client_key.pem
  std::string authority;    // ca_cert.pem
};

// Paths of the files in `cert_path`; an error names the first that this user cannot read, whose it is, and
// who asks.
Result<Credentials> FindCredentials(const std::string& cert_path);

}  // namespace steno
