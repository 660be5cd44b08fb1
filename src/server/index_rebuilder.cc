#include "server/index_rebuilder.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "index/sealer.h"
#include "storage/output_file.h"

namespace steno {
namespace {

// ioprio_set(2); <linux/ioprio.h> is not part of glibc.
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioIdle = 3 << 13;

void LowerThreadPriority() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 19);
  ::syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioIdle);
}

// Changes whenever names appear or go in one of the two directories; empty if they cannot be looked at.
std::string DirectoryState(const StoreDirectory& directory) {
  std::string state;
  for (const std::string& path : {directory.packets_directory, directory.index_directory}) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return {};
    state += fmt::format("{}.{} ", info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return state;
}

}  // namespace

Result<UnindexedFiles> FindUnindexed(const StoreDirectory& directory, int64_t settled_ns,
                                     const std::set<std::string>& orphans) {
  STENO_TRY(const std::vector<std::string> packets, ListDirectory(directory.packets_directory));
  STENO_TRY(const std::vector<std::string> indexes, ListDirectory(directory.index_directory));
  const std::unordered_set<std::string> indexed(indexes.begin(), indexes.end());
  UnindexedFiles found;
  for (const std::string& name : packets) {
    if (!IsPacketFileName(name) || indexed.contains(name)) continue;
    const std::string path = directory.packets_directory + "/" + name;
    struct stat info{};
    // Gone meanwhile, or empty: nothing to index.
    if (::stat(path.c_str(), &info) != 0 || info.st_size == 0) continue;
    // The publishing rename sets ctime.
    const int64_t changed_ns = int64_t{info.st_ctim.tv_sec} * kNsPerSecond + info.st_ctim.tv_nsec;
    if (changed_ns > settled_ns && !orphans.contains(path)) {
      found.too_young = true;
    } else {
      found.names.push_back(name);
    }
  }
  std::sort(found.names.begin(), found.names.end());
  return found;
}

IndexRebuilder::IndexRebuilder(std::vector<StoreDirectory> directories, ServerStats& stats,
                               const Options& options)
    : directories_(std::move(directories)),
      stats_(stats),
      options_(options),
      seen_(directories_.size()),
      ticker_("index-rebuild", [this](const std::stop_token& stop) {
        Pass(stop);
        return options_.pause;
      }) {}

void IndexRebuilder::AddOrphans(const std::vector<std::string>& paths) {
  {
    const std::lock_guard lock(mutex_);
    orphans_.insert(paths.begin(), paths.end());
  }
  ticker_.Wake();
}

void IndexRebuilder::Pass(const std::stop_token& stop) {
  if (!std::exchange(lowered_, true)) LowerThreadPriority();
  std::erase_if(retry_after_ns_, [](const auto& entry) { return MonotonicNs() >= entry.second; });
  std::set<std::string> orphans;
  {
    const std::lock_guard lock(mutex_);
    orphans = orphans_;
  }
  for (size_t i = 0; i < directories_.size(); ++i) {
    const StoreDirectory& directory = directories_[i];
    const std::string state = DirectoryState(directory);
    if (state.empty() || state == seen_[i]) continue;
    const auto found = FindUnindexed(directory, WallNs() - options_.settle_ns, orphans);
    if (!found) continue;
    bool waiting = found->too_young;
    for (const std::string& name : found->names) {
      if (stop.stop_requested()) return;
      waiting = true;  // look again: the directory has changed, or a failure is to be retried
      if (!retry_after_ns_.contains(directory.packets_directory + "/" + name)) Rebuild(directory, name);
    }
    if (!waiting) seen_[i] = state;
  }
}

void IndexRebuilder::Rebuild(const StoreDirectory& directory, const std::string& name) {
  const std::string path = directory.packets_directory + "/" + name;
  const int64_t start_ns = MonotonicNs();
  const Status status = RebuildIndex(path, directory.index_directory, name);
  {
    const std::lock_guard lock(mutex_);
    orphans_.erase(path);
  }
  if (status) {
    stats_.rebuilt_indexes.fetch_add(1);
    STENO_INFO("rebuilt the index of {} in {} ms", path, (MonotonicNs() - start_ns) / kNsPerMs);
    return;
  }
  // Deleted by retention meanwhile: not worth a line.
  if (::access(path.c_str(), F_OK) != 0) return;
  stats_.rebuild_failures.fetch_add(1);
  retry_after_ns_[path] = MonotonicNs() + options_.retry_ns;
  STENO_WARN("index of {}: {}; next attempt in {} s, queries read the file whole until then", path,
             status.error().message, options_.retry_ns / kNsPerSecond);
}

}  // namespace steno
