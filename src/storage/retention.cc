#include "storage/retention.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "storage/file_names.h"
#include "storage/remove_file.h"

namespace steno {
namespace {

// Between the steps in which a large file is freed: a writer of the same disk gets its turn.
constexpr std::chrono::milliseconds kStepPause(4);

// Errors of unlink() that every further file of the directory would meet too.
bool ConcernsDirectory(int error) { return error == EACCES || error == EPERM || error == EROFS; }

Result<dev_t> DeviceOf(const std::string& directory) {
  struct stat info{};
  if (::stat(directory.c_str(), &info) != 0) return Fail(Error::System("stat " + directory));
  return info.st_dev;
}

}  // namespace

// One pass over all directories.
class Retention::Pass {
 public:
  explicit Pass(std::map<uint64_t, FreeSpace>& disks) : disks_(disks) {}

  void Open(const RetentionDirectory& options);
  RetentionReport Run();

 private:
  struct Directory {
    const RetentionDirectory* options = nullptr;
    std::vector<NamedFile> files;  // what is left of the listing begins at `next`
    size_t next = 0;
    uint64_t undeletable = 0;  // passed over, but still there
    dev_t packets_device = 0;
    dev_t index_device = 0;

    [[nodiscard]] bool empty() const { return next == files.size(); }
    [[nodiscard]] uint64_t count() const { return files.size() - next + undeletable; }
    [[nodiscard]] uint64_t oldest() const { return files[next].id; }
  };

  void LimitCounts();
  void LimitSpace();
  void Measure();
  [[nodiscard]] bool BreaksLimit(const Directory& directory) const;
  void DeleteOldest(Directory& directory);
  int Remove(const std::string& path, dev_t device);
  void Problem(const Error& error) { report_.problems.push_back(error.message); }

  std::map<uint64_t, FreeSpace>& disks_;  // by device
  std::vector<Directory> directories_;
  RetentionReport report_;
};

void Retention::Pass::Open(const RetentionDirectory& options) {
  const auto device = DeviceOf(options.packets_directory);
  const auto index_device = DeviceOf(options.index_directory);
  const auto entries = ListDirectory(options.packets_directory);
  if (!device || !index_device || !entries) {
    Problem(!device ? device.error() : !index_device ? index_device.error() : entries.error());
    return;
  }
  Directory directory;
  directory.options = &options;
  directory.files = SelectPacketFiles(*entries);
  directory.packets_device = *device;
  directory.index_device = *index_device;
  // Orphans go first: they hold space that serves nobody.
  if (const auto indexes = ListDirectory(options.index_directory)) {
    for (const NamedFile& index : FindOrphanIndexes(directory.files, SelectPacketFiles(*indexes))) {
      const std::string path = options.index_directory + "/" + index.name;
      if (IsAbandonedIndex(path)) Remove(path, *index_device);
    }
  } else {
    Problem(indexes.error());
  }
  directories_.push_back(std::move(directory));
}

// Removes a regular file and returns 0, or the errno of why not (EINVAL: something else has that name).
int Retention::Pass::Remove(const std::string& path, dev_t device) {
  const auto removed = RemoveFile(path, [] { std::this_thread::sleep_for(kStepPause); });
  if (!removed) {
    const Error& error = removed.error();
    if (error.code == ErrorCode::kInvalid) return EINVAL;
    if (error.sys_errno != ENOENT) Problem(error);
    return error.sys_errno;
  }
  report_.bytes_deleted += removed->bytes;
  if (removed->last_name) disks_[device].Deleted(removed->bytes, MonotonicNs());
  return 0;
}

void Retention::Pass::DeleteOldest(Directory& directory) {
  const NamedFile& file = directory.files[directory.next++];
  // The packet file first: an index alone is found and removed by the next pass, whereas a packet file alone
  // would have to be read whole by queries until then.
  const int error = Remove(directory.options->packets_directory + "/" + file.name, directory.packets_device);
  if (error == 0) ++report_.files_deleted;
  if (error == 0 || error == ENOENT) {
    Remove(directory.options->index_directory + "/" + file.name, directory.index_device);
  } else if (error != EINVAL) {
    const size_t passed = ConcernsDirectory(error) ? directory.files.size() - directory.next : 0;
    directory.undeletable += 1 + passed;
    directory.next += passed;
  }
}

void Retention::Pass::Measure() {
  const int64_t now = MonotonicNs();
  std::map<uint64_t, bool> done;
  const auto measure = [&](dev_t device, const std::string& path) {
    if (std::exchange(done[device], true)) return;
    const auto space = MeasureSpace(path);
    if (space) {
      disks_[device].Measured(*space, now);
    } else {
      Problem(space.error());
    }
  };
  for (const Directory& directory : directories_) {
    measure(directory.packets_device, directory.options->packets_directory);
    measure(directory.index_device, directory.options->index_directory);
  }
}

bool Retention::Pass::BreaksLimit(const Directory& directory) const {
  const double limit = directory.options->disk_free_percent;
  return disks_[directory.packets_device].free_percent() < limit ||
         disks_[directory.index_device].free_percent() < limit;
}

void Retention::Pass::LimitCounts() {
  for (Directory& directory : directories_) {
    while (!directory.empty() && directory.count() > directory.options->max_files) DeleteOldest(directory);
    if (directory.count() > directory.options->max_files) report_.satisfied = false;
  }
}

void Retention::Pass::LimitSpace() {
  for (;;) {
    Measure();
    Directory* oldest = nullptr;
    bool broken = false;
    for (Directory& directory : directories_) {
      if (!BreaksLimit(directory)) continue;
      broken = true;
      if (directory.empty()) continue;
      if (oldest == nullptr || directory.oldest() < oldest->oldest()) oldest = &directory;
    }
    if (oldest == nullptr) {
      if (broken) report_.satisfied = false;
      return;
    }
    DeleteOldest(*oldest);
  }
}

RetentionReport Retention::Pass::Run() {
  Measure();
  LimitCounts();
  LimitSpace();
  return std::move(report_);
}

Retention::Retention(std::vector<RetentionDirectory> directories) : directories_(std::move(directories)) {}

RetentionReport Retention::Enforce() {
  Pass pass(disks_);
  for (const RetentionDirectory& directory : directories_) pass.Open(directory);
  return pass.Run();
}

}  // namespace steno
