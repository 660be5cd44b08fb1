// The exit status of stenoread, and the sentence that goes with it, from what the server and tcpdump did.
// Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "client/connection.h"

namespace steno {

inline constexpr int kExitFailed = 1;  // no result: server unreachable, query refused, tcpdump not started
inline constexpr int kExitIncomplete = 2;  // a result that lacks packets

struct Conclusion {
  int exit_status = 0;
  std::string message;  // empty: nothing to add to what tcpdump has said
};

// `outcome` is of the query, `tcpdump_status` of TcpdumpPipe::Finish().
Conclusion Conclude(const Result<QueryOutcome>& outcome, const Result<int>& tcpdump_status);

}  // namespace steno
