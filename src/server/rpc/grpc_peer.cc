#include "server/rpc/grpc_peer.h"

#include <grpc/grpc_security_constants.h>

#include <string>

namespace steno {
namespace {

// gRPC's "ipv4:192.0.2.1:4711" and "ipv6:%5B2001:db8::1%5D:4711" in the form of the other listeners.
std::string AddressOf(const std::string& peer) {
  std::string address = peer.substr(peer.find(':') + 1);
  for (const auto& [code, bracket] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}}) {
    if (const size_t at = address.find(code); at != address.npos) address.replace(at, 3, bracket);
  }
  return address;
}

}  // namespace

ClientIdentity PeerOf(const grpc::ServerContextBase& call) {
  ClientIdentity client{ClientIdentity::Kind::kCertificate, {}, AddressOf(call.peer())};
  const auto names = call.auth_context()->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (!names.empty()) client.name = std::string(names.front().data(), names.front().size());
  return client;
}

}  // namespace steno
