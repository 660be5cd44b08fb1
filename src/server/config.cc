#include "server/config.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"

namespace steno {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxInterfaces = 64;

// Reads the keys of one JSON object into fields; collects what is wrong instead of stopping at the first.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string prefix, std::vector<std::string>& errors,
               std::vector<std::string>& warnings)
      : object_(object), prefix_(std::move(prefix)), errors_(errors), warnings_(warnings) {}

  // The key's value, or null if it is absent or null.
  const json* Find(const char* key) {
    const json* found = nullptr;
    for (const auto& [name, value] : object_.items()) {
      if (::strcasecmp(name.c_str(), key) != 0) continue;
      known_.insert(name);
      if (found == nullptr || name == key) found = &value;
    }
    return found == nullptr || found->is_null() ? nullptr : found;
  }

  void Text(const char* key, std::string& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return Wrong(key, *value, "a string");
    out = value->get<std::string>();
  }

  void Path(const char* key, std::string& out, bool required) {
    Text(key, out);
    if (out.empty() && required) errors_.push_back(prefix_ + key + ": missing, expected a path");
    while (out.size() > 1 && out.back() == '/') out.pop_back();  // so that equal paths are equal
    if (!out.empty() && out.front() != '/') {
      errors_.push_back(fmt::format("{}{}: \"{}\", expected an absolute path", prefix_, key, out));
    }
  }

  template <class T>
  void Number(const char* key, T& out, uint64_t least, uint64_t most) {
    const json* value = Find(key);
    if (value == nullptr) return;
    const bool whole = value->is_number_unsigned();
    if (!whole || value->get<uint64_t>() < least || value->get<uint64_t>() > most) {
      return Wrong(key, *value, fmt::format("a whole number {}..{}", least, most));
    }
    out = value->get<T>();
  }

  void TextList(const char* key, std::vector<std::string>& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_array()) return Wrong(key, *value, "a list of strings");
    for (size_t i = 0; i < value->size(); ++i) {
      const json& item = (*value)[i];
      if (!item.is_string()) {
        Wrong(fmt::format("{}[{}]", key, i), item, "a string");
      } else {
        out.push_back(item.get<std::string>());
      }
    }
  }

  void Wrong(const std::string& key, const json& value, const std::string& expected) {
    errors_.push_back(fmt::format("{}{}: {}, expected {}", prefix_, key, Describe(value), expected));
  }

  void WarnOfUnknownKeys() {
    for (const auto& [name, value] : object_.items()) {
      if (!known_.contains(name))
        warnings_.push_back(fmt::format("{}{}: unknown key, ignored", prefix_, name));
    }
  }

 private:
  // "a string", "an object", "the number -3": never the whole of a large value.
  static std::string Describe(const json& value) {
    if (value.is_number()) return "the number " + value.dump();
    if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
    const std::string type = value.type_name();
    return (type.find_first_of("aeiou") == 0 ? "an " : "a ") + type;
  }

  const json& object_;
  std::string prefix_;
  std::vector<std::string>& errors_;
  std::vector<std::string>& warnings_;
  std::set<std::string> known_;
};

void ReadThread(ObjectReader reader, ThreadConfig& thread) {
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
  reader.WarnOfUnknownKeys();
}

// Threads may share a pair of directories, not one half of it: a packet file has one index.
void CheckSharing(const std::vector<ThreadConfig>& threads, std::vector<std::string>& errors) {
  const ThreadConfig& last = threads.back();
  for (size_t i = 0; i + 1 < threads.size(); ++i) {
    if ((threads[i].packets_directory == last.packets_directory) ==
        (threads[i].index_directory == last.index_directory))
      continue;
    errors.push_back(
        fmt::format("Threads[{}]: shares one directory with Threads[{}], expected both PacketsDirectory and "
                    "IndexDirectory or none",
                    threads.size() - 1, i));
  }
}

void ReadThreads(ObjectReader& root, std::vector<ThreadConfig>& threads, std::vector<std::string>& errors,
                 std::vector<std::string>& warnings) {
  const json* list = root.Find("Threads");
  if (list == nullptr) {
    errors.emplace_back(
        "Threads: missing, expected a list of objects with PacketsDirectory and IndexDirectory");
    return;
  }
  if (!list->is_array() || list->empty() || list->size() > 1024) {
    return root.Wrong("Threads", *list, "a list of 1 to 1024 objects");
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const json& item = (*list)[i];
    const std::string name = fmt::format("Threads[{}]", i);
    if (!item.is_object()) {
      root.Wrong(name, item, "an object with PacketsDirectory and IndexDirectory");
      continue;
    }
    ReadThread(ObjectReader(item, name + ".", errors, warnings), threads.emplace_back());
    CheckSharing(threads, errors);
  }
}

// One name or a list of them, under either key.
void ReadInterfaces(ObjectReader& root, std::vector<std::string>& interfaces,
                    std::vector<std::string>& errors) {
  for (const char* key : {"Interface", "Interfaces"}) {
    const json* value = root.Find(key);
    if (value == nullptr || *value == "" || (value->is_array() && value->empty())) continue;
    if (!interfaces.empty()) {
      errors.emplace_back("Interfaces: given beside Interface, expected one of the two");
    } else if (value->is_string()) {
      interfaces.push_back(value->get<std::string>());
    } else if (value->is_array()) {
      root.TextList(key, interfaces);
    } else {
      root.Wrong(key, *value, "the name of a network interface or a list of names");
    }
  }
  if (interfaces.size() > kMaxInterfaces)
    errors.push_back(
        fmt::format("Interface: {} names, expected at most {}", interfaces.size(), kMaxInterfaces));
  for (size_t i = 0; i < interfaces.size(); ++i) {
    if (interfaces[i].empty() || std::count(interfaces.begin(), interfaces.end(), interfaces[i]) > 1) {
      errors.push_back(fmt::format("Interface[{}]: \"{}\", expected the name of an interface, each once", i,
                                   interfaces[i]));
    }
  }
}

void ReadSources(ObjectReader& root, ServerConfig& config, std::vector<std::string>& errors) {
  root.Path("StenotypePath", config.stenotype_path, true);
  const size_t errors_before = errors.size();
  ReadInterfaces(root, config.interfaces, errors);
  std::string testimony;
  root.Text("TestimonySocket", testimony);
  if (!testimony.empty()) {
    errors.emplace_back(
        "TestimonySocket: capture from testimony is not supported, expected it empty and Interface set");
  } else if (config.interfaces.empty() && errors.size() == errors_before) {
    errors.emplace_back("Interface: missing, expected the name of a network interface");
  }
}

void ReadRoot(const json& object, ServerConfig& config, std::vector<std::string>& errors,
              std::vector<std::string>& warnings) {
  ObjectReader root(object, "", errors, warnings);
  ReadThreads(root, config.threads, errors, warnings);
  ReadSources(root, config, errors);
  root.Number("Port", config.port, 0, 65535);
  root.Text("Host", config.host);
  root.TextList("Flags", config.flags);
  root.Path("CertPath", config.cert_path, false);
  root.Number("MaxOpenFiles", config.max_open_files, 0, std::numeric_limits<uint32_t>::max());
  root.Path("UnixSocket", config.unix_socket, false);
  root.Text("UnixSocketGroup", config.unix_socket_group);
  root.Number("QueryTimeoutSeconds", config.query_timeout_seconds, 1, 7 * 24 * 3600);
  root.Number("MaxConcurrentQueries", config.max_concurrent_queries, 1, 256);
  root.Number("IndexCacheMB", config.index_cache_mb, 0, 1 << 20);
  root.Number("MaxReadMBps", config.max_read_mbps, 0, 1 << 20);
  root.Number("RebuildMBps", config.rebuild_mbps, 0, 1 << 20);
  if (root.Find("Rpc") != nullptr) warnings.emplace_back("Rpc: not supported, ignored");
  if (config.port == 0 && config.unix_socket.empty()) {
    errors.emplace_back("Port: the number 0, expected a port 1..65535, or UnixSocket set");
  }
  // sockaddr_un::sun_path holds 107 characters and a NUL (unix(7)).
  if (config.unix_socket.size() > 107)
    errors.emplace_back("UnixSocket: expected a path of at most 107 bytes");
  root.WarnOfUnknownKeys();
}

}  // namespace

Result<LoadedConfig> ParseServerConfig(std::string_view text, const std::string& name) {
  LoadedConfig loaded;
  std::vector<std::string> errors;
  try {
    const json root = json::parse(text, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true);
    if (!root.is_object()) return Fail(Error::Invalid(name + ": expected a JSON object"));
    ReadRoot(root, loaded.config, errors, loaded.warnings);
  } catch (const json::exception& e) {
    return Fail(Error::Invalid(fmt::format("{}: {}", name, e.what())));
  }
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

nlohmann::ordered_json InterfacesToJson(const ServerConfig& config) {
  if (config.interfaces.size() == 1) return config.interfaces.front();
  return config.interfaces;
}

std::string ToJson(const ServerConfig& config) {
  nlohmann::ordered_json threads = nlohmann::ordered_json::array();
  for (const ThreadConfig& thread : config.threads) {
    threads.push_back({{"PacketsDirectory", thread.packets_directory},
                       {"IndexDirectory", thread.index_directory},
                       {"MaxDirectoryFiles", thread.max_directory_files},
                       {"DiskFreePercentage", thread.disk_free_percentage}});
  }
  const nlohmann::ordered_json root = {{"Threads", std::move(threads)},
                                       {"StenotypePath", config.stenotype_path},
                                       {"Interface", InterfacesToJson(config)},
                                       {"Flags", config.flags},
                                       {"Port", config.port},
                                       {"Host", config.host},
                                       {"CertPath", config.cert_path},
                                       {"MaxOpenFiles", config.max_open_files},
                                       {"UnixSocket", config.unix_socket},
                                       {"UnixSocketGroup", config.unix_socket_group},
                                       {"QueryTimeoutSeconds", config.query_timeout_seconds},
                                       {"MaxConcurrentQueries", config.max_concurrent_queries},
                                       {"IndexCacheMB", config.index_cache_mb},
                                       {"MaxReadMBps", config.max_read_mbps},
                                       {"RebuildMBps", config.rebuild_mbps}};
  return root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace steno
