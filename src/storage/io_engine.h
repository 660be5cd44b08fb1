// IoEngine: asynchronous writes of aligned memory to files, for one capture thread.
//
// Not thread-safe: one owner thread, which is the one of the first SubmitWrite(): an engine may be made (and
// told of its memory) on another thread, but is submitted to, reaped and destroyed by its owner. The memory
// of a write belongs to the engine until its completion is reaped; the destructor waits for what is in
// flight. After construction nothing is allocated. The three implementations (io_uring, libaio, pwrite
// threads) write the same bytes; MakeIoEngine probes. Writes complete in any order.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace steno {

struct WriteCompletion {
  uint64_t token = 0;
  int64_t result = 0;      // bytes written, or -errno
  int64_t latency_ns = 0;  // from submission to reaping
};

// Files that may be in use at the same time: from the first write until ReleaseFile().
inline constexpr size_t kEngineFiles = 8;

class IoEngine {
 public:
  virtual ~IoEngine() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;

  // Becomes readable (edge-triggered use is enough) when completions may be reaped; Reap() resets it, and
  // sets it again if there was no room for all. Wake-ups without a completion are possible.
  [[nodiscard]] virtual int event_fd() const = 0;

  // Tells the engine the memory it will write from (the ring), so that it can register it once. Optional.
  virtual void RegisterMemory(std::span<const iovec> regions) = 0;

  // Queues a write. kExhausted when `queue_depth` writes are in flight (reap first) or kEngineFiles other
  // files are in use. What is wrong with the write itself (EBADF, ENOSPC, ...) is told by its completion.
  // Parts that the kernel leaves are submitted again. REQUIRES: bytes, its size and offset are multiples of
  // 4096 if the file was opened with O_DIRECT.
  virtual Status SubmitWrite(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) = 0;

  // Writes submitted between the two may be started together, by EndBatch() at the latest: one notification
  // of the device instead of one per write.
  virtual void BeginBatch() {}
  virtual void EndBatch() {}

  // The engine is done with the file, which it may hold open until then. To be called before the descriptor
  // is closed. REQUIRES: none of its writes is in flight.
  virtual void ReleaseFile(int fd) = 0;

  // Moves up to out.size() finished writes to `out`, without waiting; returns how many.
  virtual size_t Reap(std::span<WriteCompletion> out) = 0;

  [[nodiscard]] virtual unsigned in_flight() const = 0;
};

struct IoEngineOptions {
  std::string kind = "auto";  // auto, io_uring, libaio, pwrite
  unsigned queue_depth = 128;
};

struct IoEngineChoice {
  std::unique_ptr<IoEngine> engine;
  std::string reason;  // one line for the log: which and why
};

// "auto" tries io_uring, libaio, pwrite in this order and takes the first whose set-up and probe succeed.
Result<IoEngineChoice> MakeIoEngine(const IoEngineOptions& options);

}  // namespace steno
