#include "client/client_config.h"

#include <fmt/format.h>
#include <strings.h>

#include <nlohmann/json.hpp>

#include "base/file.h"

namespace steno {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;

const json* Find(const json& object, const char* key) {
  if (const auto exact = object.find(key); exact != object.end()) return &*exact;
  for (const auto& [name, value] : object.items()) {
    if (::strcasecmp(name.c_str(), key) == 0) return &value;
  }
  return nullptr;
}

Status ReadString(const json& object, const char* key, std::string& out) {
  const json* value = Find(object, key);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_string()) {
    return Fail(Error::Invalid(fmt::format("\"{}\": expected a string, got {}", key, value->dump())));
  }
  out = value->get<std::string>();
  return {};
}

Status ReadPort(const json& object, const char* key, uint16_t& out) {
  const json* value = Find(object, key);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_number_integer() || *value < 0 || *value > 65535) {
    return Fail(Error::Invalid(fmt::format("\"{}\": expected a port 0..65535, got {}", key, value->dump())));
  }
  out = value->get<uint16_t>();
  return {};
}

Result<ClientConfig> FromJson(const json& root) {
  if (!root.is_object()) return Fail(Error::Invalid("expected a JSON object"));
  ClientConfig config;
  STENO_CHECK_OK(ReadString(root, "Host", config.host));
  STENO_CHECK_OK(ReadPort(root, "Port", config.port));
  STENO_CHECK_OK(ReadString(root, "CertPath", config.cert_path));
  STENO_CHECK_OK(ReadString(root, "UnixSocket", config.unix_socket));
  return config;
}

std::string HttpsUrl(const std::string& host, uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos && host.front() != '[';
  return ipv6 ? fmt::format("https://[{}]:{}", host, port) : fmt::format("https://{}:{}", host, port);
}

}  // namespace

Result<ClientConfig> ParseClientConfig(std::string_view text, const std::string& name) {
  try {
    auto config = FromJson(json::parse(text, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true));
    if (!config) return Fail(std::move(config).error().With(name));
    return config;
  } catch (const json::exception& e) {
    return Fail(Error::Invalid(fmt::format("{}: {}", name, e.what())));
  }
}

Result<ClientConfig> LoadClientConfig(const std::string& path) {
  STENO_TRY(const std::string text, ReadTextFile(path, kMaxConfigBytes));
  return ParseClientConfig(text, path);
}

Result<std::vector<Endpoint>> Endpoints(const ClientConfig& config) {
  std::vector<Endpoint> endpoints;
  if (!config.unix_socket.empty()) endpoints.push_back({"http://localhost", config.unix_socket});
  if (config.port != 0) {
    const bool any4 = config.host.empty() || config.host == "0.0.0.0";
    const bool any6 = config.host == "::" || config.host == "[::]";
    if (any4) endpoints.push_back({HttpsUrl("127.0.0.1", config.port), ""});
    if (any6) endpoints.push_back({HttpsUrl("::1", config.port), ""});
    if (!config.host.empty()) endpoints.push_back({HttpsUrl(config.host, config.port), ""});
  }
  if (endpoints.empty()) {
    return Fail(Error::Invalid("\"Port\" is 0 and \"UnixSocket\" is not set: there is no server to ask"));
  }
  return endpoints;
}

}  // namespace steno
