#include "storage/file_names.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "storage/output_file.h"

namespace steno {
namespace {

constexpr size_t kMaxDigits = 19;

bool ById(const NamedFile& a, const NamedFile& b) { return a.id < b.id; }

// From the end of an index to the name of its packet file, which is made durable in between, on a slow disk.
constexpr int64_t kPublishingNs = 600 * kNsPerSecond;

}  // namespace

std::optional<uint64_t> ParseFileName(std::string_view name) {
  if (name.empty() || name.size() > kMaxDigits || name.front() == '0') return std::nullopt;
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size() || id > INT64_MAX) return std::nullopt;
  return id;
}

bool IsPacketFileName(const std::string& name) { return ParseFileName(name).has_value(); }

bool IsHiddenPacketFileName(const std::string& name) {
  return name.starts_with('.') && ParseFileName(std::string_view(name).substr(1)).has_value();
}

std::vector<NamedFile> SelectPacketFiles(const std::vector<std::string>& entries) {
  std::vector<NamedFile> files;
  for (const std::string& name : entries) {
    if (const auto id = ParseFileName(name)) files.push_back({*id, name, 0});
  }
  std::sort(files.begin(), files.end(), ById);
  return files;
}

std::vector<NamedFile> SelectPacketFiles(std::vector<DirectoryEntry> entries) {
  std::vector<NamedFile> files;
  for (DirectoryEntry& entry : entries) {
    const auto id = entry.regular ? ParseFileName(entry.name) : std::nullopt;
    if (id) files.push_back({*id, std::move(entry.name), entry.inode});
  }
  std::sort(files.begin(), files.end(), ById);
  return files;
}

std::vector<NamedFile> FindOrphanIndexes(const std::vector<NamedFile>& packets,
                                         const std::vector<NamedFile>& indexes) {
  std::vector<NamedFile> orphans;
  for (const NamedFile& index : indexes) {
    if (packets.empty() || index.id >= packets.back().id) break;
    if (!std::binary_search(packets.begin(), packets.end(), index, ById)) orphans.push_back(index);
  }
  return orphans;
}

bool IsAbandonedIndex(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return false;
  const int64_t age_ns = WallNs() - (int64_t{info.st_mtim.tv_sec} * kNsPerSecond + info.st_mtim.tv_nsec);
  return age_ns > kPublishingNs;
}

}  // namespace steno
