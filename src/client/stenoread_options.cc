#include "client/stenoread_options.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace steno {
namespace {

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
  if (name == "--config") {
    STENO_TRY(options.config_path, reader.Value());
    return {};
  }
  if (name != "--limit-packets" && name != "--limit-bytes" && name != "--max-time") {
    return Fail(Error::Invalid(
        fmt::format("{}: unknown option (tcpdump's options come after the query; see --help)", name)));
  }
  STENO_TRY(const std::string text, reader.Value());
  STENO_TRY(const uint64_t count, ParseCount(name, text));
  if (name == "--limit-packets") options.limit_packets = count;
  if (name == "--limit-bytes") options.limit_bytes = count;
  if (name == "--max-time") options.max_time_seconds = static_cast<int64_t>(count);
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
  const auto rest = reader.rest();
  if (rest.empty()) return Fail(Error::Invalid("a query is missing (see --help)"));
  options.query = rest.front();
  for (const char* argument : rest.subspan(1)) options.tcpdump_arguments.emplace_back(argument);
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
  --help, --version

Examples:
  stenoread 'host 10.1.2.3 and port 443 and after 15m ago' -n
  stenoread 'ip=10.1.2.3 last=4h' -n 'tcp[tcpflags] & tcp-syn != 0'
  stenoread 'net 10.0.0.0/8 and udp and port 53' -w /tmp/dns.pcap

Exit status: that of tcpdump; 1 if the server could not be asked or refused the
query; 2 if the result is incomplete.
)",
                     kDefaultMaxTimeSeconds, kDefaultConfigPath);
}

}  // namespace steno
