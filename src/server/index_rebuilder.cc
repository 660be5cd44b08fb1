#include "server/index_rebuilder.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <unordered_set>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "index/google_v2_table.h"
#include "index/owner.h"
#include "index/sealed_index.h"
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

// False if the index is one of another packet file. What cannot be told now is told by whoever reads it.
bool IsOf(const std::string& packet_path, const std::string& path, const IndexSummary& index) {
  const auto file = PacketFile::Open(packet_path);
  if (!file) return true;
  const auto identity = ReadFileIdentity(*file);
  return !identity || CheckFileTag(path, index.file_tag, identity->file_tag);
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

Result<UnsealedIndexes> FindUnsealed(const StoreDirectory& directory, std::set<std::string>& sealed) {
  STENO_TRY(std::vector<std::string> names, ListDirectory(directory.index_directory));
  std::sort(names.begin(), names.end());
  std::erase_if(sealed, [&](const std::string& name) { return !std::ranges::binary_search(names, name); });
  UnsealedIndexes found;
  for (const std::string& name : names) {
    if (!IsPacketFileName(name) || sealed.contains(name)) continue;
    const std::string path = directory.index_directory + "/" + name;
    const auto summary = ReadIndexSummary(path);
    if (summary && IsOf(directory.packets_directory + "/" + name, path, *summary)) {
      summary->raw ? found.raw.push_back(name) : void(sealed.insert(name));
    } else if (summary) {
      found.unusable.push_back(name);
    } else if (IsUnusableIndex(summary.error())) {
      if (IsLevelDbTable(path)) {
        sealed.insert(name);  // the incumbent's is used as it is
      } else if (::access((directory.packets_directory + "/" + name).c_str(), F_OK) == 0) {
        found.unusable.push_back(name);  // without its packets it is retention's
      }
    }
  }
  return found;
}

IndexRebuilder::IndexRebuilder(std::vector<StoreDirectory> directories, ServerStats& stats,
                               const Options& options)
    : directories_(std::move(directories)),
      stats_(stats),
      options_(options),
      seen_(directories_.size()),
      sealed_(directories_.size()),
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
  for (size_t i = 0; i < directories_.size(); ++i) {
    const StoreDirectory& directory = directories_[i];
    const std::string state = DirectoryState(directory);
    if (state.empty() || state == seen_[i]) continue;
    bool waiting = false;
    for (const Work& work : FindWork(i, waiting)) {
      if (stop.stop_requested()) return;
      if (!retry_after_ns_.contains(directory.packets_directory + "/" + work.name)) Do(directory, work, stop);
    }
    if (!waiting) seen_[i] = state;
  }
}

std::vector<IndexRebuilder::Work> IndexRebuilder::FindWork(size_t directory, bool& waiting) {
  std::set<std::string> orphans;
  {
    const std::lock_guard lock(mutex_);
    orphans = orphans_;
  }
  const auto missing = FindUnindexed(directories_[directory], WallNs() - options_.settle_ns, orphans);
  const auto unsealed = FindUnsealed(directories_[directory], sealed_[directory]);
  waiting = true;
  if (!missing || !unsealed) return {};
  std::vector<Work> work;
  // A raw index is quickly sealed, and queries wait longest for files that have none.
  for (const std::string& name : unsealed->raw) work.push_back({name, Repair::kCompact});
  for (const std::string& name : missing->names) work.push_back({name, Repair::kRebuild});
  for (const std::string& name : unsealed->unusable) work.push_back({name, Repair::kRebuild});
  // After work, look again: the directory has changed, or a failure is to be retried.
  waiting = missing->too_young || !work.empty();
  return work;
}

// Spends `bytes` of what may be read per second: sleeps until they are due. False if it is time to stop.
bool IndexRebuilder::Spend(uint64_t bytes, const std::stop_token& stop) {
  if (options_.bytes_per_second == 0) return !stop.stop_requested();
  const int64_t now = MonotonicNs();
  const int64_t due = pacer_.Book(bytes, options_.bytes_per_second, now);
  if (due > now) stats_.rebuild_waits.fetch_add(1);
  return SleepUntil(due, [&] { return !stop.stop_requested(); }) && !stop.stop_requested();
}

void IndexRebuilder::Do(const StoreDirectory& directory, const Work& work, const std::stop_token& stop) {
  const std::string path = directory.packets_directory + "/" + work.name;
  const bool compact = work.repair == Repair::kCompact;
  const int64_t start_ns = MonotonicNs();
  const RebuildOptions options{.before_read = [&](uint64_t bytes) { return Spend(bytes, stop); }};
  const Status status = compact ? CompactIndex(directory.index_directory, work.name)
                                : RebuildIndex(path, directory.index_directory, work.name, options);
  if (!status && status.error().code == ErrorCode::kCancelled) return;
  {
    const std::lock_guard lock(mutex_);
    orphans_.erase(path);
  }
  if (status && ::access(path.c_str(), F_OK) != 0) {
    // Deleted by retention meanwhile, with the index that was there then.
    ::unlink((directory.index_directory + "/" + work.name).c_str());
    return;
  }
  if (status) {
    (compact ? stats_.compacted_indexes : stats_.rebuilt_indexes).fetch_add(1);
    STENO_INFO("{} the index of {} in {} ms", compact ? "sealed" : "rebuilt", path,
               (MonotonicNs() - start_ns) / kNsPerMs);
    return;
  }
  // Deleted by retention meanwhile: not worth a line.
  if (::access(path.c_str(), F_OK) != 0) return;
  stats_.rebuild_failures.fetch_add(1);
  retry_after_ns_[path] = MonotonicNs() + options_.retry_ns;
  STENO_WARN("index of {}: {}; next attempt in {} s, until then queries {}", path, status.error().message,
             options_.retry_ns / kNsPerSecond, compact ? "scan it" : "read the file whole");
}

}  // namespace steno
