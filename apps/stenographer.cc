// stenographer: the long-running server. Starts and supervises stenotype, keeps the disks within their
// limits, and answers queries until SIGINT or SIGTERM.
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "server/config.h"
#include "server/config_commands.h"
#include "server/flags.h"
#include "server/server.h"
#include "server/version.h"

namespace {

using namespace steno;

// To the log, and to stderr if the log is elsewhere: whoever starts the program by hand sees it.
int Die(const ServerFlags& flags, const std::string& message) {
  STENO_ERROR("{}", message);
  if (flags.syslog) std::fprintf(stderr, "stenographer: %s\n", message.c_str());
  return 1;
}

void SetUpLogging(const ServerFlags& flags) {
  InitLogging(flags.verbosity < 0 ? 0 : flags.verbosity);
  if (!flags.syslog) return;
  if (::access("/dev/log", W_OK) == 0) {
    LogToSyslog("stenographer");
  } else {
    STENO_WARN("there is no /dev/log to reach syslog: logging to stderr");
  }
}

// Blocked in all threads; the main thread waits for them.
sigset_t BlockSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

int Run(const ServerFlags& flags) {
  SetUpLogging(flags);
  const sigset_t signals = BlockSignals();
  const auto loaded = LoadServerConfig(flags.config_path);
  if (!loaded) return Die(flags, loaded.error().message);
  for (const std::string& warning : loaded->warnings) STENO_WARN("{}: {}", flags.config_path, warning);
  auto server = Server::Start(loaded->config, loaded->warnings);
  if (!server) return Die(flags, flags.config_path + ": " + server.error().message);
  STENO_INFO("stenographer {} runs", kServerVersion);
  int signal = 0;
  while (::sigwait(&signals, &signal) == 0 && signal == SIGHUP) ReloadFromFile(**server, flags.config_path);
  STENO_INFO("stopping: {}", signal == SIGINT ? "SIGINT" : "SIGTERM");
  (*server)->Stop();
  spdlog::shutdown();
  ::_exit(0);  // without waiting for an index that is being rebuilt: the next start takes it up again
}

}  // namespace

int main(int argc, char** argv) {
  const auto flags = ParseServerFlags(std::vector<std::string>(argv + 1, argv + argc));
  if (!flags) {
    std::fprintf(stderr, "stenographer: %s\n", flags.error().message.c_str());
    return 2;
  }
  switch (flags->action) {
    case ServerFlags::Action::kHelp:
      std::fputs(ServerUsage().c_str(), stdout);
      return 0;
    case ServerFlags::Action::kVersion:
      std::printf("stenographer %s\n", kServerVersion);
      return 0;
    case ServerFlags::Action::kExplainRetention:
      return ExplainRetentionOf(flags->config_path);
    case ServerFlags::Action::kCheckConfig:
      return CheckConfigFile(flags->config_path);
    case ServerFlags::Action::kRun:
      return Run(*flags);
  }
  return 2;
}
