// The configuration in effect as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/config.h"

namespace steno {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kNsPerDay = 86'400'000'000'000;

// In the largest unit that divides it.
std::string DurationText(int64_t ns) {
  const int64_t seconds = ns / 1'000'000'000;
  if (ns % kNsPerDay == 0) return fmt::format("{}d", ns / kNsPerDay);
  if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

Json ThreadsToJson(const std::vector<ThreadConfig>& threads) {
  Json list = Json::array();
  for (const ThreadConfig& thread : threads) {
    list.push_back({{"PacketsDirectory", thread.packets_directory},
                    {"IndexDirectory", thread.index_directory},
                    {"MaxDirectoryFiles", thread.max_directory_files},
                    {"DiskFreePercentage", thread.disk_free_percentage},
                    {"MaxBytes", thread.max_bytes},
                    {"MaxAge", DurationText(thread.max_age_ns)}});
  }
  return list;
}

Json InterfacesToJson(const ServerConfig& config) {
  if (config.interfaces.size() == 1) return config.interfaces.front();
  return config.interfaces;
}

Json QueryToJson(const QueryConfig& query) {
  return {{"TimeoutSeconds", query.timeout_seconds}, {"MaxConcurrent", query.max_concurrent},
          {"MaxWaiting", query.max_waiting},         {"MaxPerClient", query.max_per_client},
          {"MaxPackets", query.max_packets},         {"MaxBytes", query.max_bytes},
          {"MaxReadMBps", query.max_read_mbps}};
}

Json TlsToJson(const TlsConfig& tls) {
  return {{"CaCert", tls.ca_cert},         {"ServerCert", tls.server_cert},
          {"ServerKey", tls.server_key},   {"RevocationList", tls.revocation_list},
          {"MinVersion", tls.min_version}, {"AllowedNames", tls.allowed_names}};
}

Json RolesToJson(const std::vector<RoleConfig>& roles) {
  Json list = Json::array();
  for (const RoleConfig& role : roles) {
    list.push_back({{"Name", role.name},
                    {"Certificates", role.certificates},
                    {"Users", role.users},
                    {"Operations", role.operations},
                    {"Filter", role.filter},
                    {"MaxPackets", role.max_packets},
                    {"MaxBytes", role.max_bytes},
                    {"MaxConcurrent", role.max_concurrent}});
  }
  return list;
}

Json RpcToJson(const RpcConfig& rpc) {
  return {{"CaCert", rpc.ca_cert},
          {"ServerCert", rpc.server_cert},
          {"ServerKey", rpc.server_key},
          {"Host", rpc.host},
          {"ServerPort", rpc.port},
          {"ServerPcapMaxSize", rpc.max_bytes},
          {"ClientPcapChunkSize", rpc.chunk_bytes},
          {"ClientPcapMaxSize", rpc.client_max_bytes}};
}

}  // namespace

std::string ToJson(const ServerConfig& config) {
  Json root = {{"Threads", ThreadsToJson(config.threads)},
               {"StenotypePath", config.stenotype_path},
               {"Interface", InterfacesToJson(config)},
               {"Flags", config.flags},
               {"Port", config.port},
               {"Host", config.host},
               {"CertPath", config.cert_path},
               {"MaxOpenFiles", config.max_open_files},
               {"MaxConnections", config.max_connections},
               {"UnixSocket", config.unix_socket},
               {"UnixSocketGroup", config.unix_socket_group},
               {"IndexCacheMB", config.index_cache_mb},
               {"RebuildMBps", config.rebuild_mbps},
               {"Query", QueryToJson(config.query)},
               {"Tls", TlsToJson(config.tls)},
               {"Roles", RolesToJson(config.roles)},
               {"Metrics", {{"Host", config.metrics.host}, {"Port", config.metrics.port}}}};
  if (!config.audit.path.empty()) root["Audit"] = {{"Path", config.audit.path}};
  if (config.rpc) root["Rpc"] = RpcToJson(*config.rpc);
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace steno
