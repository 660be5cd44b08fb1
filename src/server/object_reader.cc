#include "server/object_reader.h"

#include <fmt/format.h>
#include <strings.h>

#include <charconv>
#include <optional>

namespace steno {
namespace {

using nlohmann::json;

// "a string", "an object", "the number -3": never the whole of a large value.
std::string Describe(const json& value) {
  if (value.is_number()) return "the number " + value.dump();
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  const std::string type = value.type_name();
  return (type.find_first_of("aeiou") == 0 ? "an " : "a ") + type;
}

std::optional<int64_t> UnitSeconds(std::string_view unit) {
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return 24 * 3600;
  if (unit == "w") return 7 * 24 * 3600;
  return std::nullopt;
}

std::optional<int64_t> ParseDuration(const std::string& text) {
  constexpr int64_t kMostSeconds = int64_t{100} * 366 * 24 * 3600;  // a century
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  const auto unit = UnitSeconds({end, static_cast<size_t>(text.data() + text.size() - end)});
  if (!unit || number > kMostSeconds / *unit) return std::nullopt;
  return number * *unit * 1'000'000'000;
}

}  // namespace

const json* ObjectReader::Find(const char* key) {
  const json* found = nullptr;
  for (const auto& [name, value] : object_.items()) {
    if (::strcasecmp(name.c_str(), key) != 0) continue;
    known_.insert(name);
    if (found == nullptr || name == key) found = &value;
  }
  return found == nullptr || found->is_null() ? nullptr : found;
}

void ObjectReader::Text(const char* key, std::string& out) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string()) return Wrong(key, *value, "a string");
  out = value->get<std::string>();
}

void ObjectReader::Path(const char* key, std::string& out, bool required) {
  Text(key, out);
  if (out.empty() && required) Error(key, "missing, expected a path");
  while (out.size() > 1 && out.back() == '/') out.pop_back();  // so that equal paths are equal
  if (!out.empty() && out.front() != '/') Error(key, fmt::format("\"{}\", expected an absolute path", out));
}

void ObjectReader::Bool(const char* key, bool& out) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Wrong(key, *value, "true or false");
  out = value->get<bool>();
}

void ObjectReader::Duration(const char* key, int64_t& out_ns) {
  const json* value = Find(key);
  if (value == nullptr) return;
  const auto duration = value->is_string() ? ParseDuration(value->get<std::string>()) : std::nullopt;
  if (duration) {
    out_ns = *duration;
  } else if (value->is_string()) {
    Error(key, fmt::format("\"{}\", expected a number and a unit (s, m, h, d or w): \"36h\"",
                           value->get<std::string>()));
  } else {
    Wrong(key, *value, "a string of a number and a unit (s, m, h, d or w): \"36h\"");
  }
}

void ObjectReader::TextList(const char* key, std::vector<std::string>& out) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_array()) return Wrong(key, *value, "a list of strings");
  for (size_t i = 0; i < value->size(); ++i) {
    const json& item = (*value)[i];
    if (!item.is_string()) {
      Wrong(Item(key, i), item, "a string");
    } else {
      out.push_back(item.get<std::string>());
    }
  }
}

const json* ObjectReader::FindNumber(const char* key, uint64_t least, uint64_t most) {
  const json* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->is_number_unsigned() && value->get<uint64_t>() >= least && value->get<uint64_t>() <= most)
    return value;
  Wrong(key, *value, fmt::format("a whole number {}..{}", least, most));
  return nullptr;
}

std::string ObjectReader::Item(const std::string& key, size_t number) {
  return fmt::format("{}[{}]", key, number);
}

void ObjectReader::Wrong(const std::string& key, const json& value, const std::string& expected) {
  Error(key, fmt::format("{}, expected {}", Describe(value), expected));
}

void ObjectReader::Error(const std::string& key, const std::string& text) {
  problems_.errors.push_back(prefix_ + key + ": " + text);
}

void ObjectReader::Warn(const std::string& key, const std::string& text) {
  problems_.warnings.push_back(prefix_ + key + ": " + text);
}

void ObjectReader::WarnOfUnknownKeys() {
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) Warn(name, "unknown key, ignored");
  }
}

}  // namespace steno
