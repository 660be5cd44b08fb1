// stenoread: the analyst's client. Asks a stenographer server, or directories, and hands the packets to
// tcpdump or to a file.
#include <cstdio>
#include <cstdlib>
#include <span>

#include "client/exit_status.h"
#include "client/stenoread.h"
#include "client/stenoread_options.h"

int main(int argc, char** argv) {
  using namespace steno;
  const auto options =
      ParseStenoreadOptions(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1),
                            std::getenv("STENOGRAPHER_CONFIG"));
  if (argc < 2) {
    std::fputs(StenoreadUsage().c_str(), stderr);
    return kExitFailed;
  }
  Conclusion conclusion;
  if (!options) {
    conclusion = {kExitFailed, options.error().message};
  } else if (options->action == StenoreadOptions::Action::kHelp) {
    std::fputs(StenoreadUsage().c_str(), stdout);
  } else if (options->action == StenoreadOptions::Action::kVersion) {
    std::printf("stenoread %s\n", kStenoreadVersion);
  } else {
    conclusion = RunStenoread(*options);
  }
  if (!conclusion.message.empty()) std::fprintf(stderr, "stenoread: %s\n", conclusion.message.c_str());
  return conclusion.exit_status;
}
