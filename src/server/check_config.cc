#include "server/check_config.h"

#include <fmt/format.h>
#include <grp.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "server/http/tls_context.h"

namespace steno {
namespace {

std::string Reason(const char* call_of_errno) {
  return fmt::format("{}: {}", call_of_errno, std::strerror(errno));
}

void CheckProgram(const ServerConfig& config, ConfigFindings& findings) {
  struct stat status{};
  const std::string& path = config.stenotype_path;
  if (::stat(path.c_str(), &status) != 0) {
    findings.errors.push_back("StenotypePath: " + Reason(path.c_str()));
  } else if (!S_ISREG(status.st_mode) || ::access(path.c_str(), X_OK) != 0) {
    findings.errors.push_back("StenotypePath: " + path + ": not an executable file");
  }
}

void CheckInterfaces(const ServerConfig& config, ConfigFindings& findings) {
  for (const std::string& name : config.interfaces) {
    if (name.starts_with("tcp@") || ::if_nametoindex(name.c_str()) != 0) continue;
    findings.warnings.push_back("Interface: " + name + " does not exist now: recording begins once it does");
  }
}

// The nearest part of the path that there is, must be a directory that can be written to.
void CheckDirectory(const std::string& key, std::string path, ConfigFindings& findings) {
  struct stat status{};
  while (::stat(path.c_str(), &status) != 0 && errno == ENOENT && path.size() > 1)
    path.resize(std::max<size_t>(1, path.rfind('/')));
  if (::stat(path.c_str(), &status) != 0 ||
      (S_ISDIR(status.st_mode) && ::access(path.c_str(), W_OK | X_OK) != 0)) {
    findings.errors.push_back(key + ": " + Reason(path.c_str()));
  } else if (!S_ISDIR(status.st_mode)) {
    findings.errors.push_back(key + ": " + path + " is not a directory");
  }
}

void CheckThreads(const ServerConfig& config, ConfigFindings& findings) {
  for (size_t i = 0; i < config.threads.size(); ++i) {
    const ThreadConfig& thread = config.threads[i];
    CheckDirectory(fmt::format("Threads[{}].PacketsDirectory", i), thread.packets_directory, findings);
    CheckDirectory(fmt::format("Threads[{}].IndexDirectory", i), thread.index_directory, findings);
  }
}

void CheckListeners(const ServerConfig& config, ConfigFindings& findings) {
  if (config.port != 0) {
    if (const auto tls = MakeTlsContext(TlsFilesOf(config)); !tls)
      findings.errors.push_back(tls.error().message);
  }
  if (config.rpc) {
    if (const auto tls = MakeTlsContext(TlsFilesOf(*config.rpc, config.tls)); !tls)
      findings.errors.push_back(tls.error().message);
  }
  if (config.unix_socket.empty()) return;
  CheckDirectory("UnixSocket",
                 config.unix_socket.substr(0, std::max<size_t>(1, config.unix_socket.rfind('/'))), findings);
  const std::string& group = config.unix_socket_group;
  if (!group.empty() && ::getgrnam(group.c_str()) == nullptr)
    findings.errors.push_back("UnixSocketGroup: there is no group " + group);
}

void CheckAudit(const ServerConfig& config, ConfigFindings& findings) {
  const std::string& path = config.audit.path;
  if (path.empty()) return;
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    CheckDirectory("Audit.Path", path.substr(0, std::max<size_t>(1, path.rfind('/'))), findings);
  } else if (!S_ISREG(status.st_mode) || ::access(path.c_str(), W_OK) != 0) {
    findings.errors.push_back("Audit.Path: " + path + ": not a file that can be written to");
  }
}

}  // namespace

ConfigFindings CheckConfig(const ServerConfig& config) {
  ConfigFindings findings;
  CheckProgram(config, findings);
  CheckInterfaces(config, findings);
  CheckThreads(config, findings);
  CheckListeners(config, findings);
  CheckAudit(config, findings);
  return findings;
}

}  // namespace steno
