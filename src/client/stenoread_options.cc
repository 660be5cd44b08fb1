#include "client/stenoread_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "base/clock.h"
#include "query/result_encoder.h"

namespace steno {
namespace {

// No packet is older.
constexpr const char* kEverything = "after 1970-01-01T00:00:00Z";

// A count as the server's headers take it: decimal, 0x hexadecimal or 0 octal.
Result<uint64_t> ParseCount(std::string_view option, const std::string& text) {
  errno = 0;
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 0);
  if (text.empty() || *end != '\0' || errno != 0 || value < 0) {
    return Fail(Error::Invalid(fmt::format("{}: expected a whole number, got '{}'", option, text)));
  }
  return static_cast<uint64_t>(value);
}

// Walks the options in front of the query. "--name value" and "--name=value" are the same.
class OptionReader {
 public:
  explicit OptionReader(std::span<const char* const> arguments) : arguments_(arguments) {}

  // True if the next argument is an option; its name is then name(). "--" ends the options and is skipped.
  bool NextOption() {
    if (position_ == arguments_.size()) return false;
    const std::string_view argument = arguments_[position_];
    if (argument.size() < 2 || argument.front() != '-') return false;
    ++position_;
    if (argument == "--") return false;
    const size_t equals = argument.find('=');
    name_ = argument.substr(0, equals);
    inline_value_ =
        equals == std::string_view::npos ? std::nullopt : std::optional(argument.substr(equals + 1));
    return true;
  }

  [[nodiscard]] const std::string& name() const { return name_; }

  Result<std::string> Value() {
    if (inline_value_) return std::string(*inline_value_);
    if (position_ == arguments_.size())
      return Fail(Error::Invalid(fmt::format("{}: a value must follow", name_)));
    return std::string(arguments_[position_++]);
  }

  [[nodiscard]] std::span<const char* const> rest() const { return arguments_.subspan(position_); }

 private:
  std::span<const char* const> arguments_;
  size_t position_ = 0;
  std::string name_;
  std::optional<std::string_view> inline_value_;
};

// Where the value of an option goes that is a text; null for other options.
std::string* TextOption(const std::string& name, StenoreadOptions& options) {
  if (name == "--config") return &options.config_path;
  if (name == "--format") return &options.format;
  if (name == "--aggregate") return &options.aggregate;
  if (name == "--output") return &options.output;
  if (name == "--dir") return &options.directories.emplace_back();
  return nullptr;
}

// What makes no sense together.
Status CheckOptions(const StenoreadOptions& options) {
  if (const auto format = ParseResultFormat(options.format); !format)
    return Fail(Error::Invalid(fmt::format("--format {}: {}", options.format, format.error().message)));
  if (!options.aggregate.empty()) {
    if (const auto grouping = ParseGrouping(options.aggregate); !grouping)
      return Fail(
          Error::Invalid(fmt::format("--aggregate {}: {}", options.aggregate, grouping.error().message)));
  }
  const bool split = options.split.bytes != 0 || options.split.time_ns != 0;
  if (split && (options.output.empty() || options.output == "-"))
    return Fail(Error::Invalid("--split-size and --split-time need --output FILE"));
  if (split && options.format == "json")
    return Fail(Error::Invalid("--split-size and --split-time are for packets, not for JSON"));
  if (split && options.directories.empty())
    return Fail(Error::Invalid("--split-size and --split-time need --dir"));
  if (!options.output.empty() && !options.tcpdump_arguments.empty())
    return Fail(Error::Invalid("--output: tcpdump is not run, and nothing may follow the query"));
  return {};
}

Status ApplyOption(OptionReader& reader, StenoreadOptions& options) {
  const std::string& name = reader.name();
  if (name == "--help" || name == "-h" || name == "-?") {
    options.action = StenoreadOptions::Action::kHelp;
    return {};
  }
  if (name == "--version") {
    options.action = StenoreadOptions::Action::kVersion;
    return {};
  }
  if (name == "--explain") {
    options.action = StenoreadOptions::Action::kExplain;
    return {};
  }
  if (name == "--all") {
    options.all = true;
    return {};
  }
  if (std::string* const text = TextOption(name, options)) {
    STENO_TRY(*text, reader.Value());
    return {};
  }
  constexpr std::array kCounts = {"--limit-packets", "--limit-bytes", "--max-time", "--split-size",
                                  "--split-time"};
  if (std::ranges::find(kCounts, name) == kCounts.end()) {
    return Fail(Error::Invalid(
        fmt::format("{}: unknown option (tcpdump's options come after the query; see --help)", name)));
  }
  STENO_TRY(const std::string text, reader.Value());
  STENO_TRY(const uint64_t count, ParseCount(name, text));
  if (name == "--limit-packets") options.limit_packets = count;
  if (name == "--limit-bytes") options.limit_bytes = count;
  if (name == "--split-size") options.split.bytes = count;
  if (name == "--split-time") options.split.time_ns = static_cast<int64_t>(count) * kNsPerSecond;
  if (name == "--max-time") {
    options.max_time_given = true;
    options.max_time_seconds = static_cast<int64_t>(count);
  }
  return {};
}

}  // namespace

Result<StenoreadOptions> ParseStenoreadOptions(std::span<const char* const> arguments,
                                               const char* environment_config) {
  StenoreadOptions options;
  if (environment_config != nullptr && *environment_config != '\0') options.config_path = environment_config;
  OptionReader reader(arguments);
  while (reader.NextOption()) {
    STENO_CHECK_OK(ApplyOption(reader, options));
    const auto action = options.action;
    if (action == StenoreadOptions::Action::kHelp || action == StenoreadOptions::Action::kVersion)
      return options;
  }
  auto rest = reader.rest();
  if (options.all) {
    options.query = kEverything;
  } else if (rest.empty()) {
    return Fail(Error::Invalid("a query is missing (see --help)"));
  } else {
    options.query = rest.front();
    rest = rest.subspan(1);
  }
  for (const char* argument : rest) options.tcpdump_arguments.emplace_back(argument);
  if (!options.directories.empty() && !options.max_time_given) options.max_time_seconds = 0;
  if (!options.aggregate.empty()) options.format = "json";
  if (options.format == "json" && options.output.empty()) options.output = "-";
  STENO_CHECK_OK(CheckOptions(options));
  return options;
}

std::string StenoreadUsage() {
  return fmt::format(R"(Usage: stenoread [OPTION]... 'QUERY' [TCPDUMP ARGUMENT]...

Asks the stenographer server for the recorded packets that match QUERY and hands
them to tcpdump, which prints, filters or saves them as its arguments say.

Options (before the query):
  --limit-packets N   end the result after N packets
  --limit-bytes N     end the result once it exceeds N bytes
  --max-time SECONDS  give up after this time (default {})
  --config FILE       the server's configuration (default: $STENOGRAPHER_CONFIG,
                      else {})
  --explain           do not fetch packets: print what the index answers and what
                      there is to read
  --dir DIRECTORY     ask the packet files below DIRECTORY, without a server and
                      without writing there; may be given several times
  --all               all packets, instead of QUERY; -- comes before arguments of
                      tcpdump then
  --format FORMAT     pcap (default), pcap-ns, pcapng; or json: the flows and their
                      sums instead of packets, to standard output
  --aggregate WHAT    sums by address, port, protocol or time:60s, as JSON
  --output FILE       save the packets and do not run tcpdump; - is standard output
  --split-size BYTES, --split-time SECONDS
                      with --dir and --output x.pcap: files x-00001.pcap, ... of
                      about this size, or with packets of this time
  --help, --version

Examples:
  stenoread 'host 10.1.2.3 and port 443 and after 15m ago' -n
  stenoread 'ip=10.1.2.3 last=4h' -n 'tcp[tcpflags] & tcp-syn != 0'
  stenoread 'net 10.0.0.0/8 and udp and port 53' -w /tmp/dns.pcap
  stenoread --dir /mnt/evidence 'host 10.1.2.3' -n
  stenoread --dir /mnt/evidence --all --format pcapng --output all.pcapng

Exit status: that of tcpdump; 1 if the server could not be asked or refused the
query; 2 if the result is incomplete.
)",
                     kDefaultMaxTimeSeconds, kDefaultConfigPath);
}

}  // namespace steno
