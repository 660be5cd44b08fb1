// stenoread: the analyst's client. Asks a stenographer server and hands the packets to tcpdump.
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "client/client_config.h"
#include "client/connection.h"
#include "client/exit_status.h"
#include "client/explain.h"
#include "client/stenoread_options.h"
#include "client/tcpdump_pipe.h"

namespace {

using namespace steno;

int Complain(const std::string& message) {
  std::fprintf(stderr, "stenoread: %s\n", message.c_str());
  return kExitFailed;
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += ' ' + word;
  return text;
}

int Run(const StenoreadOptions& options) {
  const auto config = LoadClientConfig(options.config_path);
  if (!config) return Complain(config.error().message);
  const auto endpoints = Endpoints(*config);
  if (!endpoints) return Complain(options.config_path + ": " + endpoints.error().message);
  const QueryRequest request{options.query, options.limit_packets, options.limit_bytes,
                             options.max_time_seconds};
  if (options.action == StenoreadOptions::Action::kExplain) {
    const auto text = FetchExplanation(*endpoints, config->cert_path, request);
    if (!text) return Complain(text.error().message);
    std::fputs(text->c_str(), stdout);
    return 0;
  }
  const auto program = FindTcpdump(std::getenv("PATH"));
  if (!program) return Complain(program.error().message);

  std::fprintf(stderr, "Running stenographer query '%s', piping to 'tcpdump%s'\n", options.query.c_str(),
               Join(options.tcpdump_arguments).c_str());
  TcpdumpPipe tcpdump(*program, options.tcpdump_arguments);
  const auto outcome = FetchQuery(*endpoints, config->cert_path, request, tcpdump);
  const auto status = tcpdump.Finish();
  const Conclusion conclusion = Conclude(outcome, status);
  if (!conclusion.message.empty()) Complain(conclusion.message);
  return conclusion.exit_status;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options =
      ParseStenoreadOptions(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1),
                            std::getenv("STENOGRAPHER_CONFIG"));
  if (argc < 2) {
    std::fputs(StenoreadUsage().c_str(), stderr);
    return kExitFailed;
  }
  if (!options) return Complain(options.error().message);
  switch (options->action) {
    case StenoreadOptions::Action::kHelp:
      std::fputs(StenoreadUsage().c_str(), stdout);
      return 0;
    case StenoreadOptions::Action::kVersion:
      std::printf("stenoread %s\n", kStenoreadVersion);
      return 0;
    case StenoreadOptions::Action::kQuery:
    case StenoreadOptions::Action::kExplain:
      return Run(*options);
  }
  return kExitFailed;
}
