#include "server/reload.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace steno {
namespace {

using nlohmann::json;

// The parts of a JSON pointer (RFC 6901): "/Threads/0/MaxAge".
std::vector<std::string> Parts(const std::string& pointer) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < pointer.size();) {
    const size_t end = std::min(pointer.find('/', at + 1), pointer.size());
    parts.push_back(pointer.substr(at + 1, end - at - 1));
    at = end;
  }
  return parts;
}

// "Threads[0].MaxAge", as errors name it.
std::string KeyPath(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) {
    if (part == "-") continue;  // a new last element
    const bool number = part.find_first_not_of("0123456789") == std::string::npos;
    path += number ? "[" + part + "]" : (path.empty() ? "" : ".") + part;
  }
  return path;
}

bool SameDirectories(const ThreadConfig& a, const ThreadConfig& b) {
  return a.packets_directory == b.packets_directory && a.index_directory == b.index_directory;
}

ServerConfig TakeOver(const ServerConfig& old, const ServerConfig& fresh) {
  ServerConfig effective = old;
  effective.tls = fresh.tls;
  effective.cert_path = fresh.cert_path;
  effective.roles = fresh.roles;
  effective.query = fresh.query;
  effective.query.max_concurrent = old.query.max_concurrent;  // threads that have been started
  for (size_t i = 0; i < std::min(old.threads.size(), fresh.threads.size()); ++i) {
    if (SameDirectories(old.threads[i], fresh.threads[i])) effective.threads[i] = fresh.threads[i];
  }
  return effective;
}

// Keys whose values differ.
std::set<std::string> Differences(const ServerConfig& a, const ServerConfig& b) {
  std::set<std::string> keys;
  for (const json& change : json::diff(json::parse(ToJson(a)), json::parse(ToJson(b))))
    keys.insert(KeyPath(Parts(change["path"].get<std::string>())));
  return keys;
}

}  // namespace

ConfigChanges CompareConfigs(const ServerConfig& old, const ServerConfig& fresh) {
  ConfigChanges changes{TakeOver(old, fresh), {}, {}};
  const auto taken = Differences(old, changes.effective);
  const auto left = Differences(changes.effective, fresh);
  changes.taken.assign(taken.begin(), taken.end());
  changes.need_restart.assign(left.begin(), left.end());
  return changes;
}

}  // namespace steno
