// Recorder: stenotype as a whole: opens rings, gives up privileges, runs the threads, and ends them in order.
//
// Main thread only, except RequestStop(). Start() changes the process for good when options ask for it (user,
// capabilities, system call filter), so one recorder per process.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "capture/capture_options.h"
#include "capture/capture_thread.h"
#include "capture/loss_watch.h"
#include "index/arena.h"

namespace steno {

class Recorder {
 public:
  // Packets are recorded from its return on. An error is one line that says what to do.
  static Result<std::unique_ptr<Recorder>> Start(const CaptureOptions& options);
  ~Recorder();  // stops as Wait() would
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Runs until a signal arrives at `signal_fd` (a signalfd; -1: none), the parent is gone, the packet limit
  // is reached, or a thread ends; then stops all threads and waits until every packet that had arrived is on
  // disk and its file published. Writes the statistics lines meanwhile. kStale: a recorder that is started
  // now will record what this one cannot any more.
  Status Wait(int signal_fd);

  // Makes Wait() return. From any thread, also from a signal handler.
  void RequestStop();

  [[nodiscard]] const CaptureCounters& counters(unsigned thread) const { return arenas_[thread].counters(); }

 private:
  explicit Recorder(const CaptureOptions& options);

  Status CheckDirectories() const;
  Status OpenArenas(std::optional<unsigned> numa_node);
  Status OpenThreads();
  Result<std::unique_ptr<CaptureThread>> OpenThread(unsigned thread, std::unique_ptr<PacketSource> source);
  Result<std::vector<std::unique_ptr<PacketSource>>> OpenSources();
  Status StartThreads();
  Result<uint64_t> FileBytes(const std::string& directory) const;
  bool StopWanted(int signal_fd, int timeout_ms);
  void LogStatistics(int64_t now_ns);
  Status StopThreads();
  [[nodiscard]] Status CheckImported() const;
  [[nodiscard]] std::string PacketDirectory(unsigned thread) const;
  [[nodiscard]] std::string IndexDirectory(unsigned thread) const;

  const CaptureOptions options_;
  PacketLimit limit_;
  UniqueFd event_fd_;  // a thread or RequestStop() wants attention
  std::atomic<bool> stop_requested_{false};
  int64_t started_ns_ = 0;
  std::optional<LossWatch> losses_;

  // Destroyed from the end: capture threads use what stands before them.
  std::vector<Arena> arenas_;
  std::vector<uint64_t> file_bytes_;
  std::unique_ptr<FilePreparer> preparer_;
  std::vector<std::unique_ptr<SealingThread>> sealing_;
  std::vector<std::unique_ptr<CaptureThread>> threads_;
};

// Blocks SIGINT and SIGTERM, ignores SIGPIPE and SIGXFSZ (a write beyond the limit of file sizes is an error
// like any other), and returns a signalfd for the former. Before the first thread is started.
Result<UniqueFd> TakeStopSignals();

}  // namespace steno
