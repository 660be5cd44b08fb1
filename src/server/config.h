// The configuration file /etc/stenographer/config: JSON, comments allowed, in the incumbent's keys plus a
// few.
//
// Keys are matched as Go does (exactly, else ignoring case); omitted ones have their defaults. Pure
// functions.
#pragma once

#include <cstdint>
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
  std::string unix_socket;        // path; empty: none
  std::string unix_socket_group;  // empty: the process's group
  unsigned query_timeout_seconds = 900;
  unsigned max_concurrent_queries = 16;
  unsigned index_cache_mb = 512;  // memory (MiB) for what is kept of indexes
  unsigned max_read_mbps = 0;   // of packet files for queries (10^6 bytes a second); 0: as the capture allows
  unsigned rebuild_mbps = 200;  // of packet files (10^6 bytes a second) read to index them; 0: no limit
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
