#include "server/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/file.h"
#include "query/parse.h"
#include "server/object_reader.h"

namespace steno {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxInterfaces = 64;
constexpr size_t kMaxRoles = 1024;
constexpr uint64_t kAnyNumber = std::numeric_limits<int64_t>::max();

void ReadThread(ObjectReader& reader, ThreadConfig& thread) {
  reader.Path("PacketsDirectory", thread.packets_directory, true);
  reader.Path("IndexDirectory", thread.index_directory, true);
  // 0 means the default, as it does for the incumbent.
  uint64_t files = 0;
  reader.Number("MaxDirectoryFiles", files, 0, std::numeric_limits<uint32_t>::max());
  if (files != 0) thread.max_directory_files = files;
  if (const json* percent = reader.Find("DiskFreePercentage"); percent != nullptr) {
    const double value = percent->is_number() ? percent->get<double>() : -1;
    if (!(value >= 0 && value < 100)) {
      reader.Wrong("DiskFreePercentage", *percent, "a percentage 0..99");
    } else if (value > 0) {
      thread.disk_free_percentage = value;
    }
  }
  reader.Number("MaxBytes", thread.max_bytes, 0, kAnyNumber);
  reader.Duration("MaxAge", thread.max_age_ns);
}

// Threads may share a pair of directories, not one half of it: a packet file has one index.
void CheckSharing(ObjectReader& root, const std::vector<ThreadConfig>& threads) {
  const ThreadConfig& last = threads.back();
  for (size_t i = 0; i + 1 < threads.size(); ++i) {
    if ((threads[i].packets_directory == last.packets_directory) ==
        (threads[i].index_directory == last.index_directory))
      continue;
    root.Error(fmt::format("Threads[{}]", threads.size() - 1),
               fmt::format("shares one directory with Threads[{}], expected both PacketsDirectory and "
                           "IndexDirectory or none",
                           i));
  }
}

// MaxBytes and MaxAge beside Threads hold for every thread that does not say otherwise.
void ReadThreads(ObjectReader& root, std::vector<ThreadConfig>& threads) {
  ThreadConfig defaults;
  root.Number("MaxBytes", defaults.max_bytes, 0, kAnyNumber);
  root.Duration("MaxAge", defaults.max_age_ns);
  const std::string expected = "a list of 1 to 1024 objects with PacketsDirectory and IndexDirectory";
  const json* list = root.Find("Threads");
  if (list == nullptr) return root.Error("Threads", "missing, expected " + expected);
  if (list->is_array() && list->empty()) return root.Wrong("Threads", *list, expected);
  root.ObjectList("Threads", 1024, expected, [&](ObjectReader& reader) {
    ReadThread(reader, threads.emplace_back(defaults));
    CheckSharing(root, threads);
  });
}

// One name or a list of them, under either key. False: neither key is there.
bool ReadInterfaces(ObjectReader& root, std::vector<std::string>& interfaces) {
  bool given = false;
  for (const char* key : {"Interface", "Interfaces"}) {
    const json* value = root.Find(key);
    if (value == nullptr || *value == "" || (value->is_array() && value->empty())) continue;
    if (given) {
      root.Error("Interfaces", "given beside Interface, expected one of the two");
    } else if (value->is_string()) {
      interfaces.push_back(value->get<std::string>());
    } else if (value->is_array()) {
      root.TextList(key, interfaces);
    } else {
      root.Wrong(key, *value, "the name of a network interface or a list of names");
    }
    given = true;
  }
  if (interfaces.size() > kMaxInterfaces)
    root.Error("Interface", fmt::format("{} names, expected at most {}", interfaces.size(), kMaxInterfaces));
  for (size_t i = 0; i < interfaces.size(); ++i) {
    if (interfaces[i].empty() || std::count(interfaces.begin(), interfaces.end(), interfaces[i]) > 1) {
      root.Error(fmt::format("Interface[{}]", i),
                 fmt::format("\"{}\", expected the name of an interface, each once", interfaces[i]));
    }
  }
  return given;
}

void ReadSources(ObjectReader& root, ServerConfig& config) {
  root.Path("StenotypePath", config.stenotype_path, true);
  const bool given = ReadInterfaces(root, config.interfaces);
  std::string testimony;
  root.Text("TestimonySocket", testimony);
  if (!testimony.empty()) {
    root.Error("TestimonySocket",
               "capture from testimony is not supported, expected it empty and Interface set");
  } else if (!given) {
    root.Error("Interface", "missing, expected the name of a network interface");
  }
}

void ReadQuery(ObjectReader& reader, QueryConfig& query) {
  reader.Number("TimeoutSeconds", query.timeout_seconds, 1, 7 * 24 * 3600);
  reader.Number("MaxConcurrent", query.max_concurrent, 1, 256);
  reader.Number("MaxWaiting", query.max_waiting, 0, 1 << 16);
  reader.Number("MaxPerClient", query.max_per_client, 0, 1 << 16);
  reader.Number("MaxPackets", query.max_packets, 0, kAnyNumber);
  reader.Number("MaxBytes", query.max_bytes, 0, kAnyNumber);
  reader.Number("MaxReadMBps", query.max_read_mbps, 0, 1 << 20);
}

void ReadTls(ObjectReader& reader, TlsConfig& tls) {
  reader.Path("CaCert", tls.ca_cert, false);
  reader.Path("ServerCert", tls.server_cert, false);
  reader.Path("ServerKey", tls.server_key, false);
  reader.Path("RevocationList", tls.revocation_list, false);
  reader.Text("MinVersion", tls.min_version);
  if (tls.min_version != "1.2" && tls.min_version != "1.3")
    reader.Error("MinVersion", fmt::format("\"{}\", expected \"1.2\" or \"1.3\"", tls.min_version));
  reader.TextList("AllowedNames", tls.allowed_names);
}

void ReadRole(ObjectReader& reader, RoleConfig& role) {
  reader.Text("Name", role.name);
  if (role.name.empty()) reader.Error("Name", "missing, expected a name for the audit log");
  reader.TextList("Certificates", role.certificates);
  reader.TextList("Users", role.users);
  if (role.certificates.empty() && role.users.empty())
    reader.Error("Certificates", "missing, expected Certificates or Users: whose role this is");
  reader.TextList("Operations", role.operations);
  for (size_t i = 0; i < role.operations.size(); ++i) {
    const std::string& operation = role.operations[i];
    if (operation != "query" && operation != "explain" && operation != "status") {
      reader.Error(fmt::format("Operations[{}]", i),
                   fmt::format("\"{}\", expected \"query\", \"explain\" or \"status\"", operation));
    }
  }
  reader.Text("Filter", role.filter);
  if (!role.filter.empty()) {
    if (const auto parsed = ParseQuery(role.filter, WallNs()); !parsed)
      reader.Error("Filter", QueryErrorText(parsed.error()));
  }
  reader.Number("MaxPackets", role.max_packets, 0, kAnyNumber);
  reader.Number("MaxBytes", role.max_bytes, 0, kAnyNumber);
  reader.Number("MaxConcurrent", role.max_concurrent, 0, 1 << 16);
}

void ReadRpc(ObjectReader& reader, RpcConfig& rpc) {
  reader.Path("CaCert", rpc.ca_cert, true);
  reader.Path("ServerCert", rpc.server_cert, true);
  reader.Path("ServerKey", rpc.server_key, true);
  reader.Text("Host", rpc.host);
  reader.Number("ServerPort", rpc.port, 1, 65535);
  if (rpc.port == 0) reader.Error("ServerPort", "missing, expected a port 1..65535");
  std::string unused;
  reader.Text("ServerPcapPath", unused);
  if (!unused.empty()) reader.Warn("ServerPcapPath", "without effect: results are sent as they are found");
  reader.Number("ServerPcapMaxSize", rpc.max_bytes, 0, kAnyNumber);
  reader.Number("ClientPcapChunkSize", rpc.chunk_bytes, 0, kAnyNumber);
  reader.Number("ClientPcapMaxSize", rpc.client_max_bytes, 0, kAnyNumber);
}

void ReadListeners(ObjectReader& root, ServerConfig& config) {
  root.Number("Port", config.port, 0, 65535);
  root.Text("Host", config.host);
  root.Path("CertPath", config.cert_path, false);
  root.Number("MaxConnections", config.max_connections, 1, 1 << 16);
  root.Path("UnixSocket", config.unix_socket, false);
  root.Text("UnixSocketGroup", config.unix_socket_group);
  root.Object("Tls", [&](ObjectReader& reader) { ReadTls(reader, config.tls); });
  root.Object("Metrics", [&](ObjectReader& reader) {
    reader.Text("Host", config.metrics.host);
    reader.Number("Port", config.metrics.port, 0, 65535);
  });
  root.Object("Rpc", [&](ObjectReader& reader) {
    config.rpc.emplace().host = config.host;
    ReadRpc(reader, *config.rpc);
  });
  if (config.port == 0 && config.unix_socket.empty())
    root.Error("Port", "the number 0, expected a port 1..65535, or UnixSocket set");
  // sockaddr_un::sun_path holds 107 characters and a NUL (unix(7)).
  if (config.unix_socket.size() > 107) root.Error("UnixSocket", "expected a path of at most 107 bytes");
}

void ReadRoot(const json& object, ServerConfig& config, ConfigProblems& problems) {
  ObjectReader root(object, "", problems);
  ReadThreads(root, config.threads);
  ReadSources(root, config);
  root.TextList("Flags", config.flags);
  root.Number("MaxOpenFiles", config.max_open_files, 0, std::numeric_limits<uint32_t>::max());
  root.Number("IndexCacheMB", config.index_cache_mb, 0, 1 << 20);
  root.Number("RebuildMBps", config.rebuild_mbps, 0, 1 << 20);
  ReadListeners(root, config);
  root.Object("Query", [&](ObjectReader& reader) { ReadQuery(reader, config.query); });
  root.ObjectList("Roles", kMaxRoles, fmt::format("a list of at most {} objects", kMaxRoles),
                  [&](ObjectReader& reader) { ReadRole(reader, config.roles.emplace_back()); });
  root.Object("Audit", [&](ObjectReader& reader) { reader.Path("Path", config.audit.path, true); });
  root.WarnOfUnknownKeys();
}

}  // namespace

Result<LoadedConfig> ParseServerConfig(std::string_view text, const std::string& name) {
  LoadedConfig loaded;
  ConfigProblems problems;
  try {
    const json root = json::parse(text, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true);
    if (!root.is_object()) return Fail(Error::Invalid(name + ": expected a JSON object"));
    ReadRoot(root, loaded.config, problems);
  } catch (const json::exception& e) {
    return Fail(Error::Invalid(fmt::format("{}: {}", name, e.what())));
  }
  const std::vector<std::string>& errors = problems.errors;
  loaded.warnings = std::move(problems.warnings);
  if (errors.empty()) return loaded;
  std::string message = fmt::format(
      "{}: {} wrong:", name, errors.size() == 1 ? "1 key is" : fmt::format("{} keys are", errors.size()));
  for (const std::string& error : errors) message += "\n  " + error;
  return Fail(Error::Invalid(std::move(message)));
}

Result<LoadedConfig> LoadServerConfig(const std::string& path) {
  STENO_TRY(const std::string text, ReadTextFile(path, kMaxConfigBytes));
  return ParseServerConfig(text, path);
}

}  // namespace steno
