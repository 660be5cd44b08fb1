#include "server/rpc/grpc_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace steno {
namespace {

namespace tls = grpc::experimental;

constexpr unsigned kReadAgainSeconds = 10;

// Asked about a client whose certificate has been verified.
class AdmissionVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit AdmissionVerifier(Admission* admission) : admission_(*admission) {}

  // True: answered at once.
  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* answer) override {
    const grpc::string_ref name = request->common_name();
    const ClientIdentity client{ClientIdentity::Kind::kCertificate, std::string(name.data(), name.size()),
                                "over gRPC"};
    if (const auto refusal = admission_.Check(client, Operation::kHealth))
      *answer = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, refusal->text);
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  Admission& admission_;
};

// gRPC itself would listen and fail every handshake.
Status CheckReadable(const char* key, const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) return Fail(Error::System("Rpc." + (key + (": " + path))));
  return {};
}

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> MakeRpcCredentials(const RpcConfig& config,
                                                                    Admission& admission) {
  STENO_CHECK_OK(CheckReadable("CaCert", config.ca_cert));
  STENO_CHECK_OK(CheckReadable("ServerCert", config.server_cert));
  STENO_CHECK_OK(CheckReadable("ServerKey", config.server_key));
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      config.server_key, config.server_cert, config.ca_cert, kReadAgainSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<AdmissionVerifier>(&admission));
  options.set_check_call_host(false);
  return tls::TlsServerCredentials(options);
}

}  // namespace steno
