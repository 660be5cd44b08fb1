#include "capture/sealing_thread.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "capture/counter.h"
#include "index/raw_index.h"

namespace steno {
namespace {

constexpr auto kBufferedInterval = std::chrono::milliseconds(100);
constexpr auto kDirectInterval = std::chrono::seconds(1);
constexpr int64_t kLookNs = kNsPerSecond;

// The parts of SealingThread::watched_.
constexpr uint64_t kBuffered = uint64_t{1} << 31;
constexpr uint64_t kCountsLinks = uint64_t{1} << 30;
int DescriptorOf(uint64_t watched) { return static_cast<int>(watched & (kCountsLinks - 1)); }
// What is left of the next segment then lasts longer than writing this one raw, at any rate of packets.
constexpr double kHurryFill = 0.7;

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

SealingThread::SealingThread(SealingOptions options, CaptureCounters& counters)
    : options_(std::move(options)), counters_(counters), thread_([this] { Run(); }) {}

SealingThread::~SealingThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool SealingThread::TryPush(SealJob& job) {
  {
    const std::lock_guard lock(mutex_);
    if (queued_ == queue_.size()) return false;
    queue_[queued_++] = std::move(job);
  }
  wake_.notify_one();
  return true;
}

void SealingThread::Run() {
  ::pthread_setname_np(::pthread_self(), fmt::format("seal-{}", options_.thread).c_str());
  // On Linux a nice level belongs to the thread (0: the calling one), not to the process.
  if (options_.nice != 0 && ::setpriority(PRIO_PROCESS, 0, options_.nice) != 0) {
    STENO_WARN("{}", Error::System(fmt::format("set nice level {} for indexing", options_.nice)).message);
  }
  if (auto sealer = Sealer::Create()) {
    sealer_ = std::move(*sealer);
    sealer_->TakePages();
  } else {
    STENO_WARN("thread {}: no memory for sealing: {}; indexes are written raw", options_.thread,
               sealer.error().message);
  }
  std::unique_lock lock(mutex_);
  while (true) {
    const bool buffered = (watched_.load(std::memory_order_relaxed) & kBuffered) != 0;
    wake_.wait_for(lock, buffered ? kBufferedInterval : kDirectInterval,
                   [this] { return stop_ || queued_ > 0; });
    if (queued_ == 0 && stop_) return;
    SealJob job;
    if (queued_ > 0) {
      job = std::exchange(queue_[0], std::move(queue_[1]));
      --queued_;
    }
    lock.unlock();
    job.file ? Seal(std::move(job)) : LookAfterFile();
    lock.lock();
  }
}

void SealingThread::Watch(const OutputFile* file) {
  uint64_t watched = 0;
  if (file != nullptr) {
    watched = uint64_t{++watch_number_} << 32 | static_cast<uint64_t>(file->fd.get()) |
              (file->direct ? 0 : kBuffered) | (file->counts_links ? kCountsLinks : 0);
  }
  written_.store(0, std::memory_order_relaxed);
  watched_.store(watched, std::memory_order_release);
}

void SealingThread::LookAfterFile() {
  const uint64_t watched = watched_.load(std::memory_order_acquire);
  if (watched == 0) return;
  if (std::exchange(looked_after_, watched) != watched) behind_started_ = behind_dropped_ = 0;
  const int fd = DescriptorOf(watched);
  if ((watched & kBuffered) != 0) WriteBehind(fd);
  const int64_t now = MonotonicNs();
  if (now - looked_ns_ < kLookNs / 2) return;
  looked_ns_ = now;
  SyncWritten(fd);
  struct stat info{};
  if ((watched & kCountsLinks) != 0 && ::fstat(fd, &info) == 0 && info.st_nlink == 0) {
    removed_.store(watched, std::memory_order_relaxed);
  }
}

void SealingThread::SyncWritten(int fd) {
  const uint64_t written = counters_.stored_bytes.load(std::memory_order_relaxed);
  if (written == synced_bytes_) return;
  synced_bytes_ = written;
  if (const Status synced = SyncData(fd, "packet file"); !synced) {
    AddTo(counters_.sync_errors);
    if (sync_log_.Allow(MonotonicNs())) STENO_WARN("thread {}: {}", options_.thread, synced.error().message);
  }
}

// Failures are left to the sync that follows.
void SealingThread::WriteBehind(int fd) {
  const uint64_t written = written_.load(std::memory_order_acquire);
  const auto offset = [](uint64_t at) { return static_cast<off_t>(at); };
  if (written > behind_started_) {
    ::sync_file_range(fd, offset(behind_started_), offset(written - behind_started_), SYNC_FILE_RANGE_WRITE);
  }
  // What the previous turn began should be over.
  if (behind_started_ > behind_dropped_) {
    ::sync_file_range(fd, offset(behind_dropped_), offset(behind_started_ - behind_dropped_),
                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    ::posix_fadvise(fd, offset(behind_dropped_), offset(behind_started_ - behind_dropped_),
                    POSIX_FADV_DONTNEED);
  }
  behind_dropped_ = behind_started_;
  behind_started_ = std::max(written, behind_started_);
}

uint64_t SealingThread::FreeFileId(const SealJob& job) const {
  // A clock that was set back leads to names that are taken. Steps of `threads` keep the names of threads
  // that share a directory apart. Only a second recorder in the same directory can take the name after this
  // test.
  uint64_t id = job.file_id;
  while (Exists(fmt::format("{}/{}", job.file->directory, id)) ||
         Exists(fmt::format("{}/{}", options_.index_directory, id))) {
    id += options_.threads;
  }
  return id;
}

// True if the segment that is being filled will need the place of this one soon, or already does.
bool SealingThread::Hurried(const SealJob& job) {
  {
    const std::lock_guard lock(mutex_);
    if (queued_ > 0 && !stop_) return true;
  }
  if (job.next == nullptr) return false;
  const auto next = SegmentSnapshot::Take(*job.next);
  return next && next->Fill() >= kHurryFill;
}

Status SealingThread::WriteIndex(const SealJob& job, const std::string& name) {
  STENO_TRY(const SegmentSnapshot snapshot, SegmentSnapshot::Take(*job.segment));
  if (sealer_) {
    const Status sealed =
        sealer_->Seal(snapshot, options_.index_directory, name, [&] { return Hurried(job); });
    if (sealed) return {};
    const ErrorCode code = sealed.error().code;
    if (code != ErrorCode::kCancelled && code != ErrorCode::kExhausted) return sealed;
    STENO_DEBUG("thread {}: {}; it is written raw", options_.thread, sealed.error().message);
  }
  AddTo(counters_.raw_indexes);
  return WriteRawIndex(snapshot, options_.index_directory, name);
}

void SealingThread::Seal(SealJob job) {
  if (job.used_bytes == 0) {
    Discard(job);
  } else if (WasRemoved(*job.file)) {
    AddTo(counters_.removed_packets, job.packets);
    STENO_WARN("thread {}: {}/{} was removed while it was written: {} packets are lost", options_.thread,
               job.file->directory, job.file->hidden_name, job.packets);
  } else {
    Publish(job);
  }
  if (job.segment != nullptr) {
    job.segment->header->state.store(static_cast<uint32_t>(SegmentState::kFree), std::memory_order_release);
  }
}

void SealingThread::Discard(SealJob& job) {
  const Status removed = DiscardFile(std::move(*job.file));
  if (!removed && file_log_.Allow(MonotonicNs())) STENO_WARN("{}", removed.error().message);
}

void SealingThread::Publish(SealJob& job) {
  const uint64_t id = FreeFileId(job);
  const std::string name = std::to_string(id);
  const std::string hidden = job.file->hidden_name;
  const std::string directory = job.file->directory;
  bool indexed = false;
  if (job.segment != nullptr) {
    const Status sealed = WriteIndex(job, name);
    indexed = sealed.has_value();
    if (!indexed) {
      // The file is published all the same: queries read all of it.
      AddTo(counters_.seal_failures);
      if (index_log_.Allow(MonotonicNs())) {
        STENO_ERROR("thread {}: index of file {}: {}", options_.thread, name, sealed.error().message);
      }
    }
  }
  const std::string index_path = options_.index_directory + "/" + name;
  const auto published = PublishFile(std::move(*job.file), id, job.used_bytes);
  if (!published) {
    // The hidden file stays for the recovery, which builds an index under the name that it chooses.
    AddTo(counters_.seal_failures);
    if (file_log_.Allow(MonotonicNs())) {
      STENO_ERROR("thread {}: {}/{} stays hidden: {}", options_.thread, directory, hidden,
                  published.error().message);
    }
    if (indexed) ::unlink(index_path.c_str());
    return;
  }
  AddTo(counters_.files);
  STENO_DEBUG("thread {}: published {}/{}, {} MiB, {}", options_.thread, directory, *published,
              job.used_bytes >> 20, indexed ? "indexed" : "without index");
  if (indexed && *published != name) {
    const Status renamed = RenameFile(index_path, options_.index_directory + "/" + *published);
    if (!renamed) STENO_WARN("thread {}: {}", options_.thread, renamed.error().message);
  }
}

}  // namespace steno
