#include "capture/upkeep.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "index/google_v2_table.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "index/verify.h"
#include "storage/output_file.h"

namespace steno {
namespace {

enum ExitStatus : int { kClean = 0, kProblems = 1, kUnreadable = 2 };

struct DirectoryPair {
  std::string packets;
  std::string indexes;
};

struct Totals {
  uint64_t files = 0;
  uint64_t done = 0;  // indexes made; files without a problem
  uint64_t packets = 0;
  uint64_t problems = 0;
  uint64_t unreadable = 0;
};

bool IsDirectory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

// DIR is what --dir takes (it holds PKT<n> and IDX<n>), or, with --index_dir, a directory of packet files.
Result<std::vector<DirectoryPair>> FindDirectories(const UpkeepOptions& options) {
  if (!options.index_directory.empty())
    return std::vector{DirectoryPair{options.directory, options.index_directory}};
  std::vector<DirectoryPair> pairs;
  for (unsigned n = 0; IsDirectory(fmt::format("{}/PKT{}", options.directory, n)); ++n) {
    pairs.push_back(
        {fmt::format("{}/PKT{}", options.directory, n), fmt::format("{}/IDX{}", options.directory, n)});
  }
  if (!pairs.empty()) return pairs;
  return Fail(Error::Invalid(fmt::format(
      "{}: expected a directory with PKT0 and IDX0, or a directory of packet files together with --index_dir",
      options.directory)));
}

Result<std::vector<std::string>> PacketFileNames(const std::string& directory) {
  STENO_TRY(std::vector<std::string> names, ListDirectory(directory));
  std::erase_if(names, [](const std::string& name) { return !IsPacketFileName(name); });
  std::ranges::sort(names);
  return names;
}

enum class Repair : uint8_t { kNone, kCompact, kRebuild };

// What the index at `path` needs, and why.
std::pair<Repair, std::string> WhatIndexNeeds(const std::string& path, bool all) {
  if (all) return {Repair::kRebuild, "as asked"};
  const auto summary = ReadIndexSummary(path);
  if (!summary && summary.error().sys_errno == ENOENT) return {Repair::kRebuild, "there was none"};
  if (!summary && IsLevelDbTable(path)) return {Repair::kNone, ""};  // the incumbent's, used as it is
  if (!summary) return {Repair::kRebuild, summary.error().message};
  if (const Status checked = CheckIndexFile(path); !checked)
    return {Repair::kRebuild, checked.error().message};
  return {summary->raw ? Repair::kCompact : Repair::kNone, "it was not sealed"};
}

void Reindex(const DirectoryPair& directories, const std::string& name, bool all, std::FILE* out,
             Totals& totals) {
  const std::string path = directories.packets + "/" + name;
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || info.st_size == 0) return;  // gone meanwhile, or nothing to index
  ++totals.files;
  const auto [repair, why] = WhatIndexNeeds(directories.indexes + "/" + name, all);
  if (repair == Repair::kNone) return;
  const Status made = repair == Repair::kCompact ? CompactIndex(directories.indexes, name)
                                                 : RebuildIndex(path, directories.indexes, name);
  if (made) {
    ++totals.done;
    fmt::print(out, "{}: index made: {}\n", path, why);
  } else if (::access(path.c_str(), F_OK) == 0) {
    ++totals.problems;
    fmt::print(out, "{}: no index made: {}\n", path, made.error().message);
  }
}

void Verify(const DirectoryPair& directories, const std::string& name, std::FILE* out, Totals& totals) {
  const std::string path = directories.packets + "/" + name;
  const auto report = VerifyFile(path, directories.indexes + "/" + name);
  if (!report) {
    if (::access(path.c_str(), F_OK) != 0) return;  // deleted meanwhile
    ++totals.files;
    ++totals.unreadable;
    fmt::print(out, "{}\n", report.error().message);
    return;
  }
  ++totals.files;
  totals.packets += report->packets;
  totals.problems += report->problems.size() + report->more_problems;
  if (report->problems.empty()) ++totals.done;
  for (const std::string& line : report->problems) fmt::print(out, "{}\n", line);
  if (report->more_problems > 0) fmt::print(out, "{}: {} problems more\n", path, report->more_problems);
  for (const std::string& line : report->notes) fmt::print(out, "note: {}\n", line);
}

}  // namespace

int RunUpkeep(const UpkeepOptions& options, std::FILE* out) {
  const bool verify = options.what == UpkeepOptions::What::kVerify;
  const auto pairs = FindDirectories(options);
  if (!pairs) {
    fmt::print(stderr, "stenotype: {}\n", pairs.error().message);
    return kUnreadable;
  }
  Totals totals;
  for (const DirectoryPair& directories : *pairs) {
    const auto names = PacketFileNames(directories.packets);
    if (!names) {
      ++totals.unreadable;
      fmt::print(stderr, "stenotype: {}\n", names.error().message);
      continue;
    }
    for (const std::string& name : *names) {
      verify ? Verify(directories, name, out, totals) : Reindex(directories, name, options.all, out, totals);
      std::fflush(out);
    }
  }
  if (verify) {
    fmt::print(out,
               "{} files with {} packets: {} without a problem; {} problems; {} files could not be read\n",
               totals.files, totals.packets, totals.done, totals.problems, totals.unreadable);
  } else {
    fmt::print(out, "{} files: {} indexes made, {} could not be made\n", totals.files, totals.done,
               totals.problems);
  }
  return totals.unreadable > 0 ? kUnreadable : totals.problems > 0 ? kProblems : kClean;
}

}  // namespace steno
