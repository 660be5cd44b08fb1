// SealingThread: makes complete packet files visible: writes the index, then gives the packet file its name.
//
// One per capture thread, which is the only caller of TryPush() and SyncFile(). Works off its queue to the
// end before it stops. Between files it makes what is written of the current one durable about once a second,
// so that a power failure costs no more.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "index/arena.h"
#include "index/segment.h"
#include "storage/output_file.h"

namespace steno {

inline constexpr size_t kSealQueueJobs = 2;

// A file whose writes are over.
struct SealJob {
  std::unique_ptr<OutputFile> file;
  uint64_t file_id = 0;
  uint64_t used_bytes = 0;                 // 0: nothing to keep
  const SegmentMemory* segment = nullptr;  // in state kSealing, freed in the end; null: no index
};

struct SealingOptions {
  unsigned thread = 0;   // number among ...
  unsigned threads = 1;  // ... all that may record into the directory, other processes' included
  std::string index_directory;
  int nice = 0;
};

class SealingThread {
 public:
  // `counters` must outlive the thread.
  SealingThread(SealingOptions options, CaptureCounters& counters);
  ~SealingThread();  // after the queue is empty
  SealingThread(const SealingThread&) = delete;
  SealingThread& operator=(const SealingThread&) = delete;

  // False, and `job` is untouched, if the queue is full: try again later.
  bool TryPush(SealJob& job);

  // The descriptor to sync from time to time, -1 for none. It must stay open until its job has been pushed.
  void SyncFile(int fd) { sync_fd_.store(fd, std::memory_order_release); }

 private:
  void Run();
  void SyncWritten();
  void Seal(SealJob job);
  Status SealIndex(const SealJob& job, const std::string& name);
  [[nodiscard]] uint64_t FreeFileId(const SealJob& job) const;

  const SealingOptions options_;
  CaptureCounters& counters_;
  std::atomic<int> sync_fd_{-1};
  uint64_t synced_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::array<SealJob, kSealQueueJobs> queue_;  // guarded by mutex_, the oldest first
  size_t queued_ = 0;                          // guarded by mutex_
  bool stop_ = false;                          // guarded by mutex_
  std::thread thread_;                         // last: it uses all of the above
};

}  // namespace steno
