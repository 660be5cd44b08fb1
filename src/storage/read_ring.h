// ReadRing: reads by io_uring, several at a time, for one thread.
//
// Not thread-safe: one owner thread. The memory of a read belongs to the kernel from Prepare() until its end
// has been told; the destructor waits for those that are under way.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"

namespace steno {

class ReadRing {
 public:
  // For up to `depth` reads at a time. kIo where the kernel has no io_uring or a sandbox refuses it.
  static Result<std::unique_ptr<ReadRing>> Make(unsigned depth);
  ~ReadRing();
  ReadRing(const ReadRing&) = delete;
  ReadRing& operator=(const ReadRing&) = delete;

  // REQUIRES: fewer than `depth` reads are prepared or under way; bytes, size and offset are multiples of
  // 4096 if the file was opened with O_DIRECT. The file may be closed after the next Start().
  void Prepare(int fd, std::span<uint8_t> bytes, uint64_t offset, uint64_t token);
  void Start();

  // Starts what is prepared, and waits for the end of a read, but not much longer than `most_ns`. Each that
  // has ended is told: its token, and how many bytes it brought or -errno.
  using OnEnd = std::function<void(uint64_t token, int result)>;
  void Wait(int64_t most_ns, const OnEnd& on_end);

 private:
  ReadRing() = default;

  io_uring ring_{};
  bool ready_ = false;
  unsigned under_way_ = 0;
};

}  // namespace steno
