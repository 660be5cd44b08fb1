// Indexes of the incumbent for tests: lists of packet positions, written as its stenotype does.
#pragma once

#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/table_builder.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"

namespace steno::testing {

using GoogleLists = std::map<std::string, std::vector<uint32_t>>;

inline std::string BigEndian(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
  return text;
}

inline std::string Key(uint8_t attribute, uint64_t value, size_t bytes) {
  return static_cast<char>(attribute) + BigEndian(value, bytes);
}

inline void WriteGoogleTable(const std::string& path, const GoogleLists& lists, uint32_t version = 2) {
  leveldb::WritableFile* file = nullptr;
  STENO_CHECK(leveldb::Env::Default()->NewWritableFile(path, &file).ok());
  const std::unique_ptr<leveldb::WritableFile> owned(file);
  leveldb::Options options;
  options.compression = leveldb::kNoCompression;
  leveldb::TableBuilder builder(options, file);
  builder.Add(leveldb::Slice("\0", 1), BigEndian(version, 4) + BigEndian(0, 4));
  for (const auto& [key, positions] : lists) {
    std::string value;
    for (const uint32_t position : positions) value += BigEndian(position, 4);
    builder.Add(key, value);
  }
  STENO_CHECK(builder.Finish().ok());
  STENO_CHECK(file->Close().ok());
}

}  // namespace steno::testing
