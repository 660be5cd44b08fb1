#include "server/http/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

namespace steno {
namespace {

// The latest error of OpenSSL, as text; empties its queue.
Error TlsError(const std::string& what) {
  char reason[256] = "unknown error";
  if (const unsigned long code = ::ERR_peek_last_error(); code != 0)
    ::ERR_error_string_n(code, reason, sizeof reason);
  ::ERR_clear_error();
  return Error::Invalid(what + ": " + reason);
}

// OpenSSL's own words for a missing file are "system lib".
Status CheckReadable(const TlsFiles& files, const std::string& what, const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) return Fail(Error::System(files.keys + ": " + what + " " + path));
  return {};
}

Status LoadIdentity(SSL_CTX* context, const TlsFiles& files) {
  STENO_CHECK_OK(CheckReadable(files, "server certificate", files.server_cert));
  STENO_CHECK_OK(CheckReadable(files, "server key", files.server_key));
  if (::SSL_CTX_use_certificate_chain_file(context, files.server_cert.c_str()) != 1) {
    return Fail(TlsError(files.keys + ": server certificate " + files.server_cert));
  }
  if (::SSL_CTX_use_PrivateKey_file(context, files.server_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Fail(TlsError(files.keys + ": server key " + files.server_key));
  }
  if (::SSL_CTX_check_private_key(context) != 1) {
    return Fail(TlsError(files.keys + ": " + files.server_key + " is not the key of " + files.server_cert));
  }
  return {};
}

Status LoadAuthority(SSL_CTX* context, const TlsFiles& files) {
  const std::string& authority = files.ca_cert;
  STENO_CHECK_OK(CheckReadable(files, "certificate authority", authority));
  if (::SSL_CTX_load_verify_locations(context, authority.c_str(), nullptr) != 1) {
    return Fail(TlsError(files.keys + ": certificate authority " + authority));
  }
  // Names the authority in the handshake, so that clients with several certificates pick the right one.
  STACK_OF(X509_NAME)* names = ::SSL_load_client_CA_file(authority.c_str());
  if (names == nullptr) return Fail(TlsError(files.keys + ": certificate authority " + authority));
  ::SSL_CTX_set_client_CA_list(context, names);
  return {};
}

Status LoadRevocationList(SSL_CTX* context, const TlsFiles& files) {
  const std::string& path = files.revocation_list;
  STENO_CHECK_OK(CheckReadable(files, "revocation list", path));
  X509_STORE* const store = ::SSL_CTX_get_cert_store(context);
  X509_LOOKUP* const lookup = ::X509_STORE_add_lookup(store, ::X509_LOOKUP_file());
  if (lookup == nullptr || ::X509_load_crl_file(lookup, path.c_str(), X509_FILETYPE_PEM) < 1)
    return Fail(TlsError("Tls.RevocationList: " + path));
  ::X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return {};
}

// What a client offers of them is taken in this order: AES with 128 bits is the fastest, and as far out of
// reach as with 256. A client without instructions for AES names ChaCha20 first, and gets it.
Status SetCiphers(SSL_CTX* context) {
  constexpr const char* kSuites =
      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
  if (::SSL_CTX_set_ciphersuites(context, kSuites) != 1) return Fail(TlsError("TLS 1.3"));
  ::SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  return {};
}

struct FreeCertificates {
  void operator()(STACK_OF(X509) * list) const { sk_X509_pop_free(list, ::X509_free); }
};
using CertificateList = std::unique_ptr<STACK_OF(X509), FreeCertificates>;

// All that there are.
CertificateList ReadCertificates(std::string_view pem) {
  CertificateList list(sk_X509_new_null());
  BIO* const input = ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  while (X509* const certificate = ::PEM_read_bio_X509(input, nullptr, nullptr, nullptr))
    sk_X509_push(list.get(), certificate);
  ::BIO_free(input);
  ::ERR_clear_error();  // the end is one
  return list;
}

}  // namespace

TlsFiles TlsFilesOf(const ServerConfig& config) {
  const auto named = [&](const std::string& path, const char* usual) {
    return path.empty() ? config.cert_path + "/" + usual : path;
  };
  return {named(config.tls.ca_cert, "ca_cert.pem"), named(config.tls.server_cert, "server_cert.pem"),
          named(config.tls.server_key, "server_key.pem"), config.tls.revocation_list, config.tls.min_version};
}

TlsFiles TlsFilesOf(const RpcConfig& config, const TlsConfig& tls) {
  return {config.ca_cert, config.server_cert, config.server_key, tls.revocation_list, "1.2", "Rpc"};
}

Result<SslContext> MakeTlsContext(const TlsFiles& files) {
  SslContext context(::SSL_CTX_new(::TLS_server_method()));
  if (!context) return Fail(TlsError("TLS"));
  const int version = files.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION;
  ::SSL_CTX_set_min_proto_version(context.get(), version);
  STENO_CHECK_OK(SetCiphers(context.get()));
  STENO_CHECK_OK(LoadIdentity(context.get(), files));
  STENO_CHECK_OK(LoadAuthority(context.get(), files));
  if (!files.revocation_list.empty()) STENO_CHECK_OK(LoadRevocationList(context.get(), files));
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Every connection verifies its certificate: no resumed sessions.
  ::SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  ::SSL_CTX_set_num_tickets(context.get(), 0);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Status VerifyTlsClient(SSL_CTX* context, std::string_view certificate, std::string_view chain) {
  const CertificateList own = ReadCertificates(certificate);
  const CertificateList others = ReadCertificates(chain);
  if (sk_X509_num(own.get()) != 1) return Fail(Error::Invalid("not one certificate in PEM"));
  const std::unique_ptr<X509_STORE_CTX, decltype(&::X509_STORE_CTX_free)> check(::X509_STORE_CTX_new(),
                                                                                &::X509_STORE_CTX_free);
  ::X509_STORE_CTX_init(check.get(), ::SSL_CTX_get_cert_store(context), sk_X509_value(own.get(), 0),
                        others.get());
  ::X509_STORE_CTX_set_default(check.get(), "ssl_client");
  if (::X509_verify_cert(check.get()) == 1) return {};
  const char* const reason = ::X509_verify_cert_error_string(::X509_STORE_CTX_get_error(check.get()));
  return Fail(Error::Invalid(std::string("the certificate is not valid: ") + reason));
}

std::string TlsPeerName(const SSL* connection) {
  const X509* certificate = ::SSL_get0_peer_certificate(connection);
  if (certificate == nullptr) return {};
  char name[256] = "";
  ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace steno
