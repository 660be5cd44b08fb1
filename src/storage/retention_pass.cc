#include "storage/retention_pass.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "storage/remove_file.h"

namespace steno {
namespace {

// Between the steps in which a large file is freed: a writer of the same disk gets its turn.
constexpr std::chrono::milliseconds kStepPause(4);

// Of the space that is to be free, what readers of deleted files may hold.
constexpr double kHoldableShare = 0.5;

// After so many in a row the rest of a directory waits for the next pass.
constexpr uint64_t kMaxFailures = 100;
constexpr size_t kMaxProblems = 100;

void Pause() { std::this_thread::sleep_for(kStepPause); }

int64_t ModifiedNs(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return INT64_MAX;
  return int64_t{info.st_mtim.tv_sec} * kNsPerSecond + info.st_mtim.tv_nsec;
}

int64_t UsToNs(uint64_t us) {
  return static_cast<int64_t>(std::min<uint64_t>(us, INT64_MAX / kNsPerUs)) * kNsPerUs;
}

std::string PathOf(const RetentionDirectory& directory, const InventoryFile& entry) {
  return directory.packets_directory + "/" + entry.file.name;
}

uint64_t BytesOnDisk(const std::string& path, int& error) {
  struct stat info{};
  error = ::lstat(path.c_str(), &info) == 0 ? 0 : errno;
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

}  // namespace

RetentionPass::RetentionPass(Retention& retention, bool dry)
    : retention_(retention), dry_(dry), now_ns_(WallNs()) {
  for (size_t i = 0; i < retention.directories_.size(); ++i)
    Open(retention.directories_[i], retention.inventories_[i]);
  SetScarce();
  SweepHeld();
  Measure();
}

void RetentionPass::Problem(const std::string& text) {
  if (report_.problems.size() < kMaxProblems) report_.problems.push_back(text);
}

void RetentionPass::Open(const RetentionDirectory& options, RetentionInventory& inventory) {
  const auto packets_pool = PoolOf(options.packets_directory);
  const auto index_pool = PoolOf(options.index_directory);
  const bool with_bytes = dry_ || options.max_bytes != 0;
  const Status listed = inventory.Refresh(static_cast<uint64_t>(now_ns_ / kNsPerUs), with_bytes);
  if (!packets_pool || !index_pool || !listed) {
    return Problem((!packets_pool ? packets_pool.error()
                    : !index_pool ? index_pool.error()
                                  : listed.error())
                       .message);
  }
  Directory directory;
  directory.options = &options;
  directory.packets_pool = *packets_pool;
  directory.index_pool = *index_pool;
  for (const InventoryFile& entry : inventory.files()) {
    directory.files.push_back(&entry);
    directory.bytes += entry.bytes;
  }
  // Orphans go first: they hold space that serves nobody.
  uint64_t bytes = 0;
  for (const std::string& path : inventory.orphans()) Remove(path, *index_pool, false, bytes);
  report_.bytes_deleted += bytes;
  directories_.push_back(std::move(directory));
}

void RetentionPass::SetScarce() {
  std::map<SpacePool, double> lowest;
  for (const Directory& directory : directories_) {
    for (const SpacePool& pool : {directory.packets_pool, directory.index_pool}) {
      const auto known = lowest.emplace(pool, directory.options->disk_free_percent).first;
      known->second = std::min(known->second, directory.options->disk_free_percent);
    }
  }
  for (const auto& [pool, percent] : lowest) retention_.disks_[pool].SetScarce(percent * kHoldableShare);
}

// Removes a regular file and returns 0, or the errno of why not (EINVAL: something else has that name).
// `bytes` grows by what it took on disk.
int RetentionPass::Remove(const std::string& path, const SpacePool& pool, bool packets, uint64_t& bytes) {
  FreeSpace& disk = retention_.disks_[pool];
  if (dry_) {
    int error = 0;
    const uint64_t freed = BytesOnDisk(path, error);
    if (error == 0) disk.Deleted(freed, MonotonicNs());
    bytes += freed;
    return error;
  }
  auto removed = RemoveFile(path, Pause);
  if (!removed) {
    const Error& error = removed.error();
    if (error.code == ErrorCode::kInvalid) return EINVAL;
    if (error.sys_errno != ENOENT) Problem(error.message);
    return error.sys_errno;
  }
  bytes += removed->bytes;
  if (removed->held.valid()) {
    retention_.held_.Add({std::move(removed->held), path, pool, removed->bytes, packets});
    disk.SetHeld(retention_.held_.bytes(pool));
  } else if (removed->last_name) {
    disk.Deleted(removed->bytes, MonotonicNs());
  }
  return 0;
}

// False if the file is still there.
bool RetentionPass::Delete(Directory& directory, const InventoryFile& entry, RetentionCause cause) {
  const std::string path = PathOf(*directory.options, entry);
  uint64_t bytes = 0;
  // The packet file first: an index alone is found and removed by the next pass, whereas a packet file alone
  // would have to be read whole by queries until then.
  const int error = Remove(path, directory.packets_pool, true, bytes);
  if (error != 0 && error != ENOENT) return error == EINVAL;
  Remove(directory.options->index_directory + "/" + entry.file.name, directory.index_pool, false, bytes);
  report_.bytes_deleted += bytes;
  directory.bytes -= std::min(directory.bytes, entry.bytes);
  if (error == 0) report_.deleted.push_back({path, bytes, cause});
  return true;
}

// After a failure: the next file would fare no better.
bool RetentionPass::IsHopeless(Directory& directory) {
  return ++directory.failures >= kMaxFailures ||
         ::faccessat(AT_FDCWD, directory.options->packets_directory.c_str(), W_OK | X_OK, AT_EACCESS) != 0;
}

void RetentionPass::DeleteOldest(Directory& directory, RetentionCause cause) {
  if (Delete(directory, *directory.files[directory.next++], cause)) {
    directory.failures = 0;
    return;
  }
  const size_t passed = IsHopeless(directory) ? directory.files.size() - directory.next : 0;
  directory.undeletable += 1 + passed;
  directory.next += passed;
}

void RetentionPass::Measure() {
  const int64_t now = MonotonicNs();
  std::set<SpacePool> done;
  const auto measure = [&](const SpacePool& pool, const std::string& path) {
    if (!done.insert(pool).second) return;
    const auto space = MeasureSpace(path);
    if (space) {
      retention_.disks_[pool].Measured(*space, now);
    } else {
      Problem(space.error().message);
    }
  };
  for (const Directory& directory : directories_) {
    measure(directory.packets_pool, directory.options->packets_directory);
    measure(directory.index_pool, directory.options->index_directory);
  }
}

void RetentionPass::SweepHeld() {
  retention_.held_.Sweep(
      Pause, [&](const HeldFile& file) { retention_.disks_[file.pool].Deleted(file.bytes, MonotonicNs()); });
  for (auto& [pool, disk] : retention_.disks_) disk.SetHeld(retention_.held_.bytes(pool));
}

// Where space is scarce, what readers hold goes before more history does. True if a file was cut.
bool RetentionPass::CutHeld() {
  for (auto& [pool, disk] : retention_.disks_) {
    if (!disk.scarce()) continue;
    auto file = retention_.held_.TakeOldest(pool);
    if (!file) continue;
    if (const Status cut = CutOff(file->fd.get(), file->path, Pause); !cut) Problem(cut.error().message);
    disk.SetHeld(retention_.held_.bytes(pool));
    disk.Deleted(file->bytes, MonotonicNs());
    report_.cut.push_back(std::move(file->path));
    return true;
  }
  return false;
}

// All packets are older than the limit. A file's last packet is not younger than its last change, nor (with
// one writer) than the first of the next file, nor than the time it was seen at.
bool RetentionPass::IsExpired(const Directory& directory, size_t place) const {
  const int64_t limit_ns = now_ns_ - directory.options->max_age_ns;
  const InventoryFile& entry = *directory.files[place];
  if (UsToNs(entry.order_us()) >= limit_ns) return false;
  if (entry.seen_us != 0) return true;
  if (!directory.options->several_writers) {
    const auto following = std::find_if(directory.files.begin() + static_cast<ptrdiff_t>(place) + 1,
                                        directory.files.end(), [](auto* next) { return next->seen_us == 0; });
    if (following != directory.files.end() && UsToNs((*following)->file.id) < limit_ns) return true;
  }
  return ModifiedNs(PathOf(*directory.options, entry)) < limit_ns;
}

void RetentionPass::LimitAge() {
  for (Directory& directory : directories_) {
    if (directory.options->max_age_ns == 0) continue;
    // Not only from the front: one that was touched, or cannot be deleted, does not keep the others.
    std::vector<const InventoryFile*> kept;
    bool hopeless = false;
    for (size_t place = 0; place < directory.files.size(); ++place) {
      const InventoryFile* entry = directory.files[place];
      if (hopeless || !IsExpired(directory, place)) {
        kept.push_back(entry);
      } else if (!Delete(directory, *entry, RetentionCause::kAge)) {
        hopeless = IsHopeless(directory);
        ++directory.undeletable;
        Unsatisfied(RetentionCause::kAge);
      }
    }
    directory.files = std::move(kept);
  }
}

void RetentionPass::LimitCounts() {
  for (Directory& directory : directories_) {
    const uint64_t limit = directory.options->max_files;
    while (!directory.empty() && directory.count() > limit) DeleteOldest(directory, RetentionCause::kFiles);
    if (directory.count() > limit) Unsatisfied(RetentionCause::kFiles);
  }
}

void RetentionPass::LimitBytes() {
  for (Directory& directory : directories_) {
    const uint64_t limit = directory.options->max_bytes;
    if (limit == 0) continue;
    while (!directory.empty() && directory.bytes > limit) DeleteOldest(directory, RetentionCause::kBytes);
    if (directory.bytes > limit) Unsatisfied(RetentionCause::kBytes);
  }
}

bool RetentionPass::BreaksSpaceLimit(const Directory& directory) const {
  const double limit = directory.options->disk_free_percent;
  return retention_.disks_.at(directory.packets_pool).free_percent() < limit ||
         retention_.disks_.at(directory.index_pool).free_percent() < limit;
}

void RetentionPass::LimitSpace() {
  for (;;) {
    Measure();
    if (CutHeld()) continue;
    Directory* oldest = nullptr;
    bool broken = false;
    for (Directory& directory : directories_) {
      if (!BreaksSpaceLimit(directory)) continue;
      broken = true;
      if (directory.empty()) continue;
      if (oldest == nullptr || directory.oldest_us() < oldest->oldest_us()) oldest = &directory;
    }
    if (oldest == nullptr) {
      if (broken) Unsatisfied(RetentionCause::kSpace);
      return;
    }
    DeleteOldest(*oldest, RetentionCause::kSpace);
  }
}

RetentionReport RetentionPass::Run() {
  LimitAge();
  LimitCounts();
  LimitBytes();
  LimitSpace();
  report_.held_files = retention_.held_.count();
  report_.held_bytes = retention_.held_.bytes();
  return std::move(report_);
}

std::vector<RetentionState> RetentionPass::States() const {
  std::vector<RetentionState> states;
  for (const Directory& directory : directories_) {
    RetentionState& state = states.emplace_back();
    state.directory = *directory.options;
    state.packets_space = retention_.disks_.at(directory.packets_pool).measure();
    state.index_space = retention_.disks_.at(directory.index_pool).measure();
    state.files = directory.files.size();
    state.bytes = directory.bytes;
    state.files_from_future = static_cast<uint64_t>(
        std::ranges::count_if(directory.files, [](auto* entry) { return entry->seen_us != 0; }));
    if (directory.files.empty()) continue;
    state.oldest_ns = UsToNs(directory.files.front()->file.id);
    state.newest_ns = ModifiedNs(PathOf(*directory.options, *directory.files.back()));
  }
  return states;
}

}  // namespace steno
