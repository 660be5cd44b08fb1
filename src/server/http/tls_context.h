// TLS settings of the server: TLS 1.2 or later, its own certificate, and client certificates required and
// verified.
//
// The only OpenSSL calls besides those of the HTTP library.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace steno {

struct FreeSslContext {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSslContext>;

// From server_cert.pem (with its chain), server_key.pem and ca_cert.pem in `cert_path`. The error names the
// file.
Result<SslContext> MakeTlsContext(const std::string& cert_path);

// The common name of the verified client certificate; empty if it has none.
std::string TlsPeerName(const SSL* connection);

}  // namespace steno
