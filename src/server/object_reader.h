// ObjectReader: reads the keys of one JSON object of the configuration into fields; collects what is wrong
// instead of stopping at the first.
//
// Keys are matched as Go does: exactly, else ignoring case. A key that is absent or null leaves its field as
// it is. One thread; borrows the object and both lists.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace steno {

// Lines about the configuration: what makes it unusable, and what is only worth knowing.
struct ConfigProblems {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

class ObjectReader {
 public:
  // `prefix` goes before the keys in messages: "", "Threads[0]." and so on.
  ObjectReader(const nlohmann::json& object, std::string prefix, ConfigProblems& problems)
      : object_(object), prefix_(std::move(prefix)), problems_(problems) {}

  // The key's value, or null if it is absent or null.
  const nlohmann::json* Find(const char* key);

  void Text(const char* key, std::string& out);
  void Path(const char* key, std::string& out, bool required);  // absolute, if there is one
  void Bool(const char* key, bool& out);
  // 0 and more with a unit: "90s", "45m", "36h", "30d", "2w", in nanoseconds.
  void Duration(const char* key, int64_t& out_ns);
  void TextList(const char* key, std::vector<std::string>& out);

  template <class T>
  void Number(const char* key, T& out, uint64_t least, uint64_t most) {
    if (const nlohmann::json* value = FindNumber(key, least, most); value != nullptr) out = value->get<T>();
  }

  // Calls `read` with a reader of the object under `key`, if there is one, and warns of its unknown keys.
  template <class Read>
  void Object(const char* key, Read read) {
    if (const nlohmann::json* value = Find(key); value != nullptr) ReadObject(key, *value, read);
  }
  // The same for each object of a list: `read` is called with a reader each.
  template <class Read>
  void ObjectList(const char* key, size_t most, const std::string& expected, Read read) {
    const nlohmann::json* list = Find(key);
    if (list == nullptr) return;
    if (!list->is_array() || list->size() > most) return Wrong(key, *list, expected);
    for (size_t i = 0; i < list->size(); ++i) ReadObject(Item(key, i), (*list)[i], read);
  }

  // Says what is wrong with the value of `key` and what was expected.
  void Wrong(const std::string& key, const nlohmann::json& value, const std::string& expected);
  // The same in whole words.
  void Error(const std::string& key, const std::string& text);
  void Warn(const std::string& key, const std::string& text);

  void WarnOfUnknownKeys();

 private:
  static std::string Item(const std::string& key, size_t number);
  const nlohmann::json* FindNumber(const char* key, uint64_t least, uint64_t most);

  template <class Read>
  void ReadObject(const std::string& name, const nlohmann::json& value, Read& read) {
    if (!value.is_object()) return Wrong(name, value, "an object");
    ObjectReader reader(value, prefix_ + name + ".", problems_);
    read(reader);
    reader.WarnOfUnknownKeys();
  }

  const nlohmann::json& object_;
  std::string prefix_;
  ConfigProblems& problems_;
  std::set<std::string> known_;
};

}  // namespace steno
