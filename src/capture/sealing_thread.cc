#include "capture/sealing_thread.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "capture/counter.h"
#include "index/sealer.h"

namespace steno {
namespace {

constexpr auto kSyncInterval = std::chrono::seconds(1);

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
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kSyncInterval, [this] { return stop_ || queued_ > 0; });
    if (queued_ == 0 && stop_) return;
    SealJob job;
    if (queued_ > 0) {
      job = std::exchange(queue_[0], std::move(queue_[1]));
      --queued_;
    }
    lock.unlock();
    job.file ? Seal(std::move(job)) : SyncWritten();
    lock.lock();
  }
}

void SealingThread::SyncWritten() {
  const uint64_t written = counters_.stored_bytes.load(std::memory_order_relaxed);
  if (written == synced_bytes_) return;
  const int fd = sync_fd_.load(std::memory_order_acquire);
  if (fd < 0) return;
  synced_bytes_ = written;
  if (const Status synced = SyncData(fd, "packet file"); !synced) {
    STENO_WARN("thread {}: {}", options_.thread, synced.error().message);
  }
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

Status SealingThread::SealIndex(const SealJob& job, const std::string& name) {
  STENO_TRY(const SegmentSnapshot snapshot, SegmentSnapshot::Take(*job.segment));
  return SealSegment(snapshot, options_.index_directory, name);
}

void SealingThread::Seal(SealJob job) {
  bool indexed = false;
  if (job.used_bytes == 0) {
    if (const Status removed = DiscardFile(std::move(*job.file)); !removed)
      STENO_WARN("{}", removed.error().message);
  } else {
    const uint64_t id = FreeFileId(job);
    const std::string name = std::to_string(id);
    const std::string hidden = job.file->hidden_name;
    const std::string directory = job.file->directory;
    if (job.segment != nullptr) {
      const Status sealed = SealIndex(job, name);
      indexed = sealed.has_value();
      if (!indexed) {
        // The file is published all the same: queries read all of it.
        AddTo(counters_.seal_failures);
        STENO_ERROR("thread {}: index of file {}: {}", options_.thread, name, sealed.error().message);
      }
    }
    const std::string index_path = options_.index_directory + "/" + name;
    const auto published = PublishFile(std::move(*job.file), id, job.used_bytes);
    if (!published) {
      // The hidden file stays for the recovery, which builds an index under the name that it chooses.
      AddTo(counters_.seal_failures);
      STENO_ERROR("thread {}: {}/{} stays hidden: {}", options_.thread, directory, hidden,
                  published.error().message);
      if (indexed) ::unlink(index_path.c_str());
    } else {
      AddTo(counters_.files);
      STENO_DEBUG("thread {}: published {}/{}, {} MiB, {}", options_.thread, directory, *published,
                  job.used_bytes >> 20, indexed ? "indexed" : "without index");
      if (indexed && *published != name) {
        const Status renamed = RenameFile(index_path, options_.index_directory + "/" + *published);
        if (!renamed) STENO_WARN("thread {}: {}", options_.thread, renamed.error().message);
      }
    }
  }
  if (job.segment != nullptr) {
    job.segment->header->state.store(static_cast<uint32_t>(SegmentState::kFree), std::memory_order_release);
  }
}

}  // namespace steno
