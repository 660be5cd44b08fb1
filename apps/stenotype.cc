// stenotype: the packet writer. Records an interface to disk until it is told to stop; --reindex and --verify
// look after what is recorded.
#include <sysexits.h>

#include <cstdio>
#include <span>
#include <string>

#include "base/log.h"
#include "capture/capture_options.h"
#include "capture/recorder.h"
#include "capture/upkeep.h"

namespace {

using namespace steno;

// -v is for the statistics lines, which are information; from the second on it is for debugging.
int LogVerbosity(int verbosity) { return verbosity < 0 ? -1 : verbosity < 2 ? 0 : 1; }

Status Record(const CaptureOptions& options) {
  STENO_TRY(const UniqueFd signals, TakeStopSignals());
  STENO_TRY(const auto recorder, Recorder::Start(options));
  return recorder->Wait(signals.get());
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed =
      ParseCaptureFlags(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  if (!parsed) {
    std::fprintf(stderr, "stenotype: %s\n", parsed.error().message.c_str());
    return EX_USAGE;
  }
  if (!parsed->help.empty()) {
    std::fputs(parsed->help.c_str(), stdout);
    return 0;
  }
  InitLogging(LogVerbosity(parsed->options.verbosity));
  for (const std::string& warning : parsed->warnings) STENO_WARN("{}", warning);
  if (parsed->upkeep.what != UpkeepOptions::What::kNothing) return RunUpkeep(parsed->upkeep, stdout);
  const Status recorded = Record(parsed->options);
  if (recorded) return 0;
  STENO_ERROR("{}", recorded.error().message);
  return recorded.error().code == ErrorCode::kStale ? EX_TEMPFAIL : 1;
}
