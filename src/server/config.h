// The configuration file /etc/stenographer/config: JSON, comments allowed, in the incumbent's keys plus a
// few.
//
// Keys are matched as Go does (exactly, else ignoring case); omitted ones have their defaults. Pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace steno {

struct ThreadConfig {
  std::string packets_directory;
  std::string index_directory;
  uint64_t max_directory_files = 30000;
  double disk_free_percentage = 10;
  uint64_t max_bytes = 0;  // of packet files and their indexes; 0: no limit
  int64_t max_age_ns = 0;  // of packets; 0: no limit
};

// What queries may use.
struct QueryConfig {
  unsigned timeout_seconds = 900;
  unsigned max_concurrent = 16;  // that run at a time
  unsigned max_waiting = 1024;    // for one of these places
  unsigned max_per_client = 0;   // running and waiting, of one certificate or user; 0: no limit
  uint64_t max_packets = 0;      // of one result; 0: no limit
  uint64_t max_bytes = 0;        // the same, file header included
  unsigned max_read_mbps = 0;    // of packet files (10^6 bytes a second); 0: as the capture allows
};

struct TlsConfig {
  std::string ca_cert;                     // path; empty: ca_cert.pem in CertPath
  std::string server_cert;                 // server_cert.pem
  std::string server_key;                  // server_key.pem
  std::string revocation_list;             // path of a CRL (PEM); empty: none
  std::string min_version = "1.2";         // or "1.3"
  std::vector<std::string> allowed_names;  // common names of clients; empty: whoever has a certificate
};

// What some of the clients may do. A client has the first role that names it.
struct RoleConfig {
  std::string name{};
  std::vector<std::string> certificates{};  // common names; "*": any
  std::vector<std::string> users{};         // of the Unix socket, by name; "*": any
  std::vector<std::string> operations{};    // query, explain, status; empty: all
  std::string filter{};                     // and-ed to every query; empty: none
  uint64_t max_packets = 0;                 // of one result; 0: no limit
  uint64_t max_bytes = 0;
  unsigned max_concurrent = 0;  // queries of one client; 0: no limit
};

struct AuditConfig {
  std::string path;  // empty: no audit log
};

// A listener without TLS for /metrics, /healthz and /readyz only.
struct MetricsConfig {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: none
};

struct RpcConfig {
  std::string ca_cert;
  std::string server_cert;
  std::string server_key;
  std::string host;
  uint16_t port = 0;
  uint64_t max_bytes = 0;    // of one result; 0: no limit
  uint64_t chunk_bytes = 0;  // the incumbent's client keys: defaults for what a request leaves out
  uint64_t client_max_bytes = 0;
};

struct ServerConfig {
  std::vector<ThreadConfig> threads;  // one or more
  std::string stenotype_path;
  std::vector<std::string> interfaces;  // one or more, all different
  std::vector<std::string> flags;       // for stenotype
  uint16_t port = 1234;                 // 0: no TLS listener (then unix_socket is set)
  std::string host = "127.0.0.1";       // empty: all addresses
  std::string cert_path = "/etc/stenographer/certs";
  uint64_t max_open_files = 100000;
  unsigned max_connections = 512;
  std::string unix_socket;        // path; empty: none
  std::string unix_socket_group;  // empty: the process's group
  unsigned index_cache_mb = 512;  // memory (MiB) for what is kept of indexes
  unsigned rebuild_mbps = 200;    // of packet files (10^6 bytes a second) read to index them; 0: no limit
  QueryConfig query;
  TlsConfig tls;
  std::vector<RoleConfig> roles;  // empty: every client may do everything
  AuditConfig audit;
  MetricsConfig metrics;
  std::optional<RpcConfig> rpc;
};

struct LoadedConfig {
  ServerConfig config;
  std::vector<std::string> warnings;  // one line each: unknown keys, keys without effect
};

// `name` is what errors call the text. kInvalid lists every wrong key, one a line: path, value's type, what
// was expected.
Result<LoadedConfig> ParseServerConfig(std::string_view text, const std::string& name);

Result<LoadedConfig> LoadServerConfig(const std::string& path);

// The configuration in effect, as JSON, for /debug/config.
std::string ToJson(const ServerConfig& config);

}  // namespace steno
