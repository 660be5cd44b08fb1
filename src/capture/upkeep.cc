#include "capture/upkeep.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "index/google_v2_gaps.h"
#include "index/google_v2_table.h"
#include "index/owner.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "index/verify.h"
#include "storage/output_file.h"

namespace steno {
namespace {

enum ExitStatus : int { kClean = 0, kProblems = 1, kUnreadable = 2 };

constexpr std::string_view kPrefix = "PKT";

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
  STENO_TRY(const std::vector<std::string> names, ListDirectory(options.directory));
  std::vector<unsigned> numbers;  // a thread's directory may have been taken away
  for (const std::string& name : names) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(name.data() + std::min(name.size(), kPrefix.size()),
                                              name.data() + name.size(), number);
    const bool whole = error == std::errc() && end == name.data() + name.size();
    if (name.starts_with(kPrefix) && whole && IsDirectory(options.directory + "/" + name))
      numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  std::vector<DirectoryPair> pairs;
  for (const unsigned n : numbers) {
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

struct Need {
  Repair repair = Repair::kNone;
  std::string why;
};

// Whether the index of ours at `path` is whole, and of this packet file.
Status CheckIndexOf(const PacketFile& file, const std::string& path, uint64_t index_tag) {
  STENO_TRY(const FileIdentity identity, ReadFileIdentity(file));
  STENO_CHECK_OK(CheckFileTag(path, index_tag, identity.file_tag));
  STENO_CHECK_OK(CheckIndexFile(path));
  STENO_TRY(const auto index, OpenSealedIndex(path));
  STENO_TRY(const BlockTable table, file.WalkBlocks());
  return CheckBlocks(path, index->blocks(), table);
}

// What the index at `path` needs. Indexes of the incumbent are used as they are.
Result<Need> WhatIndexNeeds(const PacketFile& file, const std::string& path, bool all) {
  const auto summary = ReadIndexSummary(path);
  if (!summary && summary.error().sys_errno == ENOENT) return Need{Repair::kRebuild, "there was none"};
  Status checked;
  if (IsLevelDbTable(path)) {
    STENO_TRY(BlockTable table, file.WalkBlocks());
    const auto gaps = FindGoogleGaps(path, file, std::move(table.blocks));
    if (gaps) return Need{};
    checked = Fail(gaps.error());
  } else if (all) {
    return Need{Repair::kRebuild, "as asked"};
  } else {
    checked = summary ? CheckIndexOf(file, path, summary->file_tag) : Fail(summary.error());
  }
  if (!checked && !IsUnusableIndex(checked.error())) return Fail(checked.error());
  if (!checked) return Need{Repair::kRebuild, checked.error().message};
  if (summary->raw) return Need{Repair::kCompact, "it was not sealed"};
  return Need{};
}

// Makes it if that is needed. Returns what was done.
Result<Need> MakeIndex(const DirectoryPair& directories, const std::string& name, bool all) {
  const std::string path = directories.packets + "/" + name;
  STENO_TRY(const PacketFile file, PacketFile::Open(path));
  STENO_TRY(Need need, WhatIndexNeeds(file, directories.indexes + "/" + name, all));
  switch (need.repair) {
    case Repair::kNone:
      break;
    case Repair::kCompact:
      STENO_CHECK_OK(CompactIndex(directories.indexes, name));
      break;
    case Repair::kRebuild:
      STENO_CHECK_OK(RebuildIndex(path, directories.indexes, name));
      break;
  }
  return need;
}

void Reindex(const DirectoryPair& directories, const std::string& name, bool all, std::FILE* out,
             Totals& totals) {
  const std::string path = directories.packets + "/" + name;
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || info.st_size == 0) return;  // gone meanwhile, or nothing to index
  ++totals.files;
  const Result<Need> made = MakeIndex(directories, name, all);
  if (made && made->repair != Repair::kNone) {
    ++totals.done;
    fmt::print(out, "{}: index made: {}\n", path, made->why);
  } else if (!made && ::access(path.c_str(), F_OK) == 0) {
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
