#include "query/directory_catalog.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "storage/output_file.h"

namespace steno {
namespace {

// Loading a file is a few small reads that mostly wait: worth threads when there are thousands of them, at a
// start.
constexpr size_t kFilesPerLoader = 128;
constexpr size_t kMaxLoaders = 16;

bool ByName(const std::shared_ptr<const PublishedFile>& a, const std::shared_ptr<const PublishedFile>& b) {
  return std::tuple(a->file_id(), a->name()) < std::tuple(b->file_id(), b->name());
}

}  // namespace

DirectoryCatalog::DirectoryCatalog(StoreDirectory directory, uint32_t thread, std::shared_ptr<ProblemLog> log,
                                   IndexCache& cache)
    : directory_(std::move(directory)),
      thread_(thread),
      log_(std::move(log)),
      cache_(&cache),
      packets_watch_(directory_.packets_directory),
      index_watch_(directory_.index_directory) {}

void DirectoryCatalog::Refresh(std::vector<std::string>& problems) {
  if (const Result<bool> changed = packets_watch_.NeedsReading(); !changed) {
    problems.push_back(changed.error().message);
    if (IsGone(changed.error())) files_.clear();
  } else if (*changed) {
    ReadPackets(problems);
  }
  if (directory_.index_directory.empty()) return;
  // After the files: an index that appeared in between is found with its file or here, or changes the
  // directory again.
  if (const Result<bool> changed = index_watch_.NeedsReading(); !changed) {
    problems.push_back(changed.error().message);
  } else if (*changed) {
    ReadIndexes(problems);
  }
}

void DirectoryCatalog::ReadPackets(std::vector<std::string>& problems) {
  const auto names = ListDirectory(directory_.packets_directory);
  if (!names) {
    problems.push_back(names.error().message);
    packets_watch_.Forget();
    return;
  }
  std::map<std::string_view, FilePtr> known;
  for (const FilePtr& file : files_) known.emplace(file->name(), file);
  std::vector<FilePtr> files;
  std::vector<std::string> fresh;
  for (const std::string& name : *names) {
    if (!IsPacketFileName(name)) continue;
    const auto at = known.find(name);
    if (at != known.end()) {
      files.push_back(at->second);
    } else {
      fresh.push_back(name);
    }
  }
  std::ranges::move(Load(fresh, problems), std::back_inserter(files));
  std::ranges::sort(files, ByName);
  files_ = std::move(files);
}

void DirectoryCatalog::ReadIndexes(std::vector<std::string>& problems) {
  for (FilePtr& file : files_) {
    if ((file->indexed() && !file->raw()) || !file->IndexChanged()) continue;
    std::vector<FilePtr> loaded = Load({file->name()}, problems);
    if (!loaded.empty()) file = std::move(loaded.front());
  }
}

std::vector<std::shared_ptr<const PublishedFile>> DirectoryCatalog::Load(
    const std::vector<std::string>& names, std::vector<std::string>& problems) {
  std::vector<Result<FilePtr>> results(names.size(), FilePtr());
  std::atomic<size_t> next{0};
  const auto load = [&] {
    for (size_t at = next++; at < names.size(); at = next++) {
      results[at] = PublishedFile::Load(directory_, thread_, names[at], log_, cache_);
    }
  };
  {
    std::vector<std::jthread> loaders;
    const size_t wanted = std::min(kMaxLoaders, names.size() / kFilesPerLoader);
    while (loaders.size() < wanted) loaders.emplace_back(load);
    load();
  }
  std::vector<FilePtr> files;
  for (Result<FilePtr>& result : results) {
    if (result) {
      files.push_back(std::move(*result));
    } else if (!IsGone(result.error())) {
      problems.push_back(result.error().message);
      if (result.error().code != ErrorCode::kInvalid) packets_watch_.Forget();  // so that it is tried again
    }
  }
  return files;
}

}  // namespace steno
