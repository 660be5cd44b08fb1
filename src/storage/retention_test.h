// What the tests of retention share: a pair of directories with files of given names and sizes. Tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "storage/retention.h"
#include "storage/storage_fixture.h"

namespace steno {

inline constexpr uint64_t kMiB = 1 << 20;

// Directories named after `root`, on whatever disk that is.
inline RetentionDirectory MakeDirectory(const std::string& root, double free_percent,
                                        uint64_t max_files = 30000) {
  std::filesystem::create_directories(root + "/packets");
  std::filesystem::create_directories(root + "/index");
  RetentionDirectory directory;
  directory.packets_directory = root + "/packets";
  directory.index_directory = root + "/index";
  directory.disk_free_percent = free_percent;
  directory.max_files = max_files;
  return directory;
}

inline void AddFile(const RetentionDirectory& directory, uint64_t id, size_t packet_bytes,
                    size_t index_bytes = 10) {
  WriteTestFile(directory.packets_directory + "/" + std::to_string(id),
                std::vector<uint8_t>(packet_bytes, 1));
  WriteTestFile(directory.index_directory + "/" + std::to_string(id), std::vector<uint8_t>(index_bytes, 1));
}

// The names in both directories, which must be the same.
inline std::string Names(const RetentionDirectory& directory) {
  const auto sorted = [](const std::string& path) {
    auto names = *ListDirectory(path);
    std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
      return a.size() != b.size() ? a.size() < b.size() : a < b;
    });
    std::string text;
    for (const auto& name : names) text += name + " ";
    return text;
  };
  EXPECT_EQ(sorted(directory.packets_directory), sorted(directory.index_directory));
  return sorted(directory.packets_directory);
}

}  // namespace steno
