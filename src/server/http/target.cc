#include "server/http/target.h"

#include <fmt/format.h>

#include <charconv>

namespace steno {
namespace {

Result<std::string> Decode(std::string_view name, std::string_view text) {
  std::string decoded;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at] == '+' ? ' ' : text[at];
      continue;
    }
    const std::string_view digits = text.substr(at + 1, 2);
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc{} || end != digits.data() + 2) {
      return Fail(Error::Invalid(
          fmt::format("parameter {}: expected two hexadecimal digits after \"%\" at byte {}", name, at + 1)));
    }
    decoded += static_cast<char>(byte);
    at += 2;
  }
  return decoded;
}

}  // namespace

std::string_view TargetPath(std::string_view target) { return target.substr(0, target.find('?')); }

Result<std::optional<std::string>> TargetParameter(std::string_view target, std::string_view name) {
  std::string_view rest = target.substr(TargetPath(target).size());
  while (!rest.empty()) {
    rest.remove_prefix(1);  // "?" or "&"
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    if (equals == std::string_view::npos) return std::string();
    STENO_TRY(std::string value, Decode(name, pair.substr(equals + 1)));
    return value;
  }
  return std::nullopt;
}

}  // namespace steno
