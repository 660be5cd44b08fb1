#include "server/config_commands.h"

#include <cstdio>

#include "base/log.h"
#include "server/check_config.h"
#include "server/config.h"
#include "server/explain_retention.h"

namespace steno {
namespace {

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

Result<LoadedConfig> LoadOrTell(const std::string& path) {
  auto loaded = LoadServerConfig(path);
  if (!loaded) std::fprintf(stderr, "stenographer: %s\n", loaded.error().message.c_str());
  return loaded;
}

}  // namespace

int CheckConfigFile(const std::string& path) {
  const auto loaded = LoadOrTell(path);
  if (!loaded) return 1;
  const ConfigFindings findings = CheckConfig(loaded->config);
  for (const auto* list : {&loaded->warnings, &findings.warnings})
    for (const std::string& warning : *list) std::printf("warning: %s\n", warning.c_str());
  for (const std::string& error : findings.errors) std::printf("error: %s\n", error.c_str());
  if (findings.errors.empty()) std::printf("%s: nothing is wrong\n", path.c_str());
  return findings.errors.empty() ? 0 : 1;
}

int ExplainRetentionOf(const std::string& path) {
  const auto loaded = LoadOrTell(path);
  if (!loaded) return 1;
  std::fputs(ExplainRetention(loaded->config).c_str(), stdout);
  return 0;
}

namespace {

void TryReload(Server& server, const std::string& path) {
  const auto loaded = LoadServerConfig(path);
  if (!loaded) return STENO_ERROR("not reloaded: {}", loaded.error().message);
  for (const std::string& warning : loaded->warnings) STENO_WARN("{}: {}", path, warning);
  const auto changes = server.Reload(loaded->config, loaded->warnings);
  if (!changes) return STENO_ERROR("not reloaded: {}: {}", path, changes.error().message);
  STENO_INFO("reloaded: certificates; changed keys: {}", Joined(changes->taken));
  if (!changes->need_restart.empty())
    STENO_WARN("changed, but without effect before the next start: {}", Joined(changes->need_restart));
}

}  // namespace

void ReloadFromFile(Server& server, const std::string& path) {
  server.BeginReload();
  TryReload(server, path);
  server.EndReload();
}

}  // namespace steno
