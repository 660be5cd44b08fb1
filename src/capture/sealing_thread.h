// SealingThread: makes complete packet files visible: writes the index, then gives the packet file its name.
//
// One per capture thread, which is the only caller of what is public. Works off its queue to the end before
// it stops. An index is sealed, unless the capture thread is about to need the segment for another file: then
// it is written raw, which is quick, and the server seals it later. Between files it looks after the one that is being written, about once a second: makes it
// durable, so that a power failure costs no more, and looks whether somebody removed it. What goes through
// the page cache (where there is no direct I/O) is sent to the disk ten times a second and then dropped from
// the cache: without that the kernel would collect half a minute of it, and stall the writer when it has too
// much.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "capture/log_limiter.h"
#include "index/arena.h"
#include "index/sealer.h"
#include "index/segment.h"
#include "storage/output_file.h"

namespace steno {

inline constexpr size_t kSealQueueJobs = 2;

// A file whose writes are over.
struct SealJob {
  std::unique_ptr<OutputFile> file;
  uint64_t file_id = 0;
  uint64_t used_bytes = 0;                 // 0: nothing to keep
  uint64_t packets = 0;                    // in these bytes
  const SegmentMemory* segment = nullptr;  // in state kSealing, freed in the end; null: no index
  const SegmentMemory* next = nullptr;     // fills meanwhile, and then needs this one's place; null: none
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

  // The file to look after, null for none. It must stay open until its job has been pushed.
  void Watch(const OutputFile* file);
  // The watched file is written up to here.
  void Written(uint64_t end) { written_.store(end, std::memory_order_release); }
  // The watched file was removed by somebody.
  [[nodiscard]] bool WatchedIsRemoved() const {
    return removed_.load(std::memory_order_relaxed) == watched_.load(std::memory_order_relaxed);
  }

 private:
  void Run();
  void LookAfterFile();
  void SyncWritten(int fd);
  void WriteBehind(int fd);
  void Seal(SealJob job);
  void Discard(SealJob& job);
  void Publish(SealJob& job);
  Status WriteIndex(const SealJob& job, const std::string& name);
  bool Hurried(const SealJob& job);
  [[nodiscard]] uint64_t FreeFileId(const SealJob& job) const;

  const SealingOptions options_;
  std::optional<Sealer> sealer_;  // of the thread; empty if there is no memory for it
  CaptureCounters& counters_;
  // The file to look after, as one word: its descriptor, whether it is direct, whether it counts its links,
  // and a number that no other file has. 0: none.
  std::atomic<uint64_t> watched_{0};
  std::atomic<uint64_t> removed_{UINT64_MAX};  // the watched_ that was found removed
  std::atomic<uint64_t> written_{0};
  uint32_t watch_number_ = 0;  // of the capture thread

  // Of the sealing thread, about the file `looked_after_`.
  uint64_t looked_after_ = 0;
  int64_t looked_ns_ = 0;
  uint64_t synced_bytes_ = 0;
  uint64_t behind_started_ = 0;  // write-back of the file was begun up to here ...
  uint64_t behind_dropped_ = 0;  // ... and is over, and the pages gone, up to here
  LogLimiter sync_log_;
  LogLimiter index_log_;
  LogLimiter file_log_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::array<SealJob, kSealQueueJobs> queue_;  // guarded by mutex_, the oldest first
  size_t queued_ = 0;                          // guarded by mutex_
  bool stop_ = false;                          // guarded by mutex_
  std::thread thread_;                         // last: it uses all of the above
};

}  // namespace steno
