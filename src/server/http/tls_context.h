// TLS settings of the server: TLS 1.2 or later, its own certificate, and client certificates required and
// verified.
//
// What a connection does with them is in server/http/tls_transport.h; nothing else uses OpenSSL.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/config.h"

namespace steno {

struct FreeSslContext {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSslContext>;

// PEM files. The server's certificate may be followed by its chain; the file of revocation lists may hold
// several, and then every client's issuer must have one that has not expired.
struct TlsFiles {
  std::string ca_cert;
  std::string server_cert;
  std::string server_key;
  std::string revocation_list;         // empty: none
  std::string min_version;             // "1.2" or "1.3"
  std::string keys = "Tls, CertPath";  // of the configuration, for errors
};

// Those that the configuration names, or which have their usual names in CertPath.
TlsFiles TlsFilesOf(const ServerConfig& config);
// Those of the gRPC listener; the revocation lists are the same for all.
TlsFiles TlsFilesOf(const RpcConfig& config, const TlsConfig& tls);

// The error names the configuration's key and the file.
Result<SslContext> MakeTlsContext(const TlsFiles& files);

// Whether `context` would let a client with this certificate in; both are PEM, `chain` the certificates that
// lead from its issuer to the authority, if it sent any.
Status VerifyTlsClient(SSL_CTX* context, std::string_view certificate, std::string_view chain);

// The common name of the verified client certificate; empty if it has none.
std::string TlsPeerName(const SSL* connection);

}  // namespace steno
