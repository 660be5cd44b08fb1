#include "server/flags.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

namespace steno {
namespace {

// "-name", "--name", "-name=value" or "--name=value".
struct Argument {
  std::string_view name;
  std::optional<std::string_view> value;
};

std::optional<Argument> SplitArgument(std::string_view text) {
  const size_t dashes = text.starts_with("--") ? 2 : text.starts_with("-") ? 1 : 0;
  if (dashes == 0 || text.size() == dashes) return std::nullopt;
  text.remove_prefix(dashes);
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return Argument{text, std::nullopt};
  return Argument{text.substr(0, equals), text.substr(equals + 1)};
}

// The words that Go's strconv.ParseBool takes.
std::optional<bool> ParseBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

Status ApplyBool(const Argument& argument, bool& out) {
  const auto value = ParseBool(argument.value.value_or("true"));
  if (!value) {
    return Fail(
        Error::Invalid(fmt::format("-{}={}: expected true or false", argument.name, *argument.value)));
  }
  out = *value;
  return {};
}

Status ApplyNumber(const Argument& argument, int& out) {
  const std::string_view text = *argument.value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc{} && end == text.data() + text.size()) return {};
  return Fail(Error::Invalid(fmt::format("-{} {}: expected a whole number", argument.name, text)));
}

}  // namespace

Result<ServerFlags> ParseServerFlags(const std::vector<std::string>& arguments) {
  ServerFlags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    auto argument = SplitArgument(arguments[i]);
    if (!argument) return Fail(Error::Invalid(fmt::format("{}: expected a flag; see -help", arguments[i])));
    const std::string_view name = argument->name;
    if (name == "help" || name == "h") {
      flags.action = ServerFlags::Action::kHelp;
    } else if (name == "version") {
      flags.action = ServerFlags::Action::kVersion;
    } else if (name == "explain_retention") {
      flags.action = ServerFlags::Action::kExplainRetention;
    } else if (name == "check_config") {
      flags.action = ServerFlags::Action::kCheckConfig;
    } else if (name == "syslog") {
      STENO_CHECK_OK(ApplyBool(*argument, flags.syslog));
    } else if (name == "config" || name == "v") {
      if (!argument->value) {
        if (++i == arguments.size()) return Fail(Error::Invalid(fmt::format("-{}: needs a value", name)));
        argument->value = arguments[i];
      }
      if (name == "config") {
        flags.config_path = *argument->value;
      } else {
        STENO_CHECK_OK(ApplyNumber(*argument, flags.verbosity));
      }
    } else {
      return Fail(Error::Invalid(fmt::format("{}: unknown flag; see -help", arguments[i])));
    }
  }
  return flags;
}

std::string ServerUsage() {
  return "Usage: stenographer [flags]\n"
         "Records the traffic of a network interface through stenotype and answers queries for packets.\n\n"
         "  -config FILE     configuration (default /etc/stenographer/config)\n"
         "  -syslog[=false]  log to syslog, otherwise to stderr (default true)\n"
         "  -v N             verbosity: 1 and more for debugging (default -1)\n"
         "  -explain_retention\n"
         "                   print limits, history and which files would be deleted now; deletes nothing\n"
         "  -check_config    say what is wrong with the configuration, and exit (0: nothing)\n"
         "  -version         print the version\n"
         "  -help            print this\n";
}

}  // namespace steno
