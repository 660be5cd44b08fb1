#include "client/exit_status.h"

#include <fmt/format.h>

namespace steno {

Conclusion Conclude(const Result<QueryOutcome>& outcome, const Result<int>& tcpdump_status) {
  // A tcpdump that could not be started or fed stops the transfer: its error is the cause.
  if (!tcpdump_status) return {kExitFailed, tcpdump_status.error().message};
  if (!outcome) return {kExitFailed, outcome.error().message};
  switch (outcome->kind) {
    case QueryOutcome::Kind::kComplete:
    case QueryOutcome::Kind::kStopped:
      return {*tcpdump_status, ""};
    case QueryOutcome::Kind::kRefused:
      return {kExitFailed, fmt::format("the server answered {}: {}", outcome->http_status,
                                       outcome->text.empty() ? "(no text)" : outcome->text)};
    case QueryOutcome::Kind::kIncomplete:
      return {kExitIncomplete,
              fmt::format("the result is incomplete, packets are missing: {} (after {} bytes)", outcome->text,
                          outcome->bytes)};
  }
  return {kExitFailed, "unknown outcome"};
}

}  // namespace steno
