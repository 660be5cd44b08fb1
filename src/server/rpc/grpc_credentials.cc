#include "server/rpc/grpc_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>

namespace steno {
namespace {

namespace tls = grpc::experimental;

constexpr unsigned kReadAgainSeconds = 10;

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

// Asked about a client whose certificate has been verified.
class Verifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit Verifier(RpcCredentials* credentials) : credentials_(*credentials) {}

  // True: answered at once.
  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* answer) override {
    const ClientIdentity client{ClientIdentity::Kind::kCertificate, std::string(View(request->common_name())),
                                "over gRPC"};
    *answer = credentials_.Check(client, View(request->peer_cert()), View(request->peer_cert_full_chain()));
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  RpcCredentials& credentials_;
};

}  // namespace

TlsFiles RpcCredentials::files() {
  const std::lock_guard lock(mutex_);
  return files_;
}

void RpcCredentials::SetRevocationList(const std::string& path) {
  const std::lock_guard lock(mutex_);
  files_.revocation_list = path;
}

grpc::Status RpcCredentials::Check(const ClientIdentity& client, std::string_view certificate,
                                   std::string_view chain) {
  auto refusal = admission_.Check(client, Operation::kHealth);
  const TlsFiles now = files();
  if (!refusal && !now.revocation_list.empty()) {
    const auto context = MakeTlsContext(now);
    const Status valid =
        context ? VerifyTlsClient(context->get(), certificate, chain) : Status(Fail(Error(context.error())));
    if (!valid) {
      refusal = admission_.Refuse({.client = client, .operation = Operation::kHealth},
                                  {Refusal::Kind::kForbidden, valid.error().message});
    }
  }
  return refusal ? grpc::Status(grpc::StatusCode::PERMISSION_DENIED, refusal->text) : grpc::Status::OK;
}

Result<std::shared_ptr<grpc::ServerCredentials>> RpcCredentials::Make() {
  const TlsFiles paths = files();
  STENO_CHECK_OK(MakeTlsContext(paths));  // gRPC itself would listen and fail every handshake
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      paths.server_key, paths.server_cert, paths.ca_cert, kReadAgainSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<Verifier>(this));
  options.set_check_call_host(false);
  return tls::TlsServerCredentials(options);
}

}  // namespace steno
