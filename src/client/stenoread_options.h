// The command line of stenoread: its own options, then the query, then what belongs to tcpdump.
//
// Pure functions over plain values. Options are recognised before the query only: everything after it is
// tcpdump's, even if it looks like one of ours. The interface is that of google/stenographer's stenoread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/capture_output.h"

namespace steno {

inline constexpr const char* kStenoreadVersion =
    "2.0.0";  // that of the project in CMakeLists.txt: a test compares
inline constexpr const char* kDefaultConfigPath = "/etc/stenographer/config";
// A minute more than this, and a server that allows 15 minutes per query would cut the result first.
inline constexpr int64_t kDefaultMaxTimeSeconds = 890;

struct StenoreadOptions {
  enum class Action : uint8_t { kQuery, kExplain, kHelp, kVersion };

  Action action = Action::kQuery;
  std::string config_path = kDefaultConfigPath;
  std::vector<std::string> directories;  // not empty: asks these and no server
  bool all = false;                      // every packet; there is no query then
  std::string format = "pcap";
  std::string aggregate;                  // of the format json; empty: flows
  std::string output;                     // a file, or "-", instead of tcpdump; empty: tcpdump
  SplitLimits split;                      // of `output`
  std::optional<uint64_t> limit_packets;  // 0 means none, to the server as well
  std::optional<uint64_t> limit_bytes;
  int64_t max_time_seconds = kDefaultMaxTimeSeconds;  // 0: no limit, the default with directories
  bool max_time_given = false;
  std::string query;
  std::vector<std::string> tcpdump_arguments;
};

// `arguments` are argv without the program's name; `environment_config` is the value of STENOGRAPHER_CONFIG
// or null. kInvalid: the message names the argument and what was expected.
Result<StenoreadOptions> ParseStenoreadOptions(std::span<const char* const> arguments,
                                               const char* environment_config);

// The text of --help.
std::string StenoreadUsage();

}  // namespace steno
