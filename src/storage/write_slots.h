// WriteSlots: the writes in flight of an IoEngine, in memory that is allocated once. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/io_engine.h"

namespace steno {

// One write. `done` bytes of it are finished: the kernel may take it in several parts.
struct WriteSlot {
  uint64_t token = 0;
  const uint8_t* data = nullptr;
  size_t bytes = 0;
  size_t done = 0;
  uint64_t offset = 0;
  int64_t submitted_ns = 0;
  int fd = -1;
  unsigned retries = 0;

  [[nodiscard]] const uint8_t* rest() const { return data + done; }
  [[nodiscard]] size_t rest_bytes() const { return bytes - done; }
  [[nodiscard]] uint64_t rest_offset() const { return offset + done; }
};

enum class WriteStep {
  kFinished,  // the result is final
  kAgain,     // submit the rest
};

// Books what the kernel reported for the slot's rest: bytes written or -errno. When finished, `result`
// becomes what WriteCompletion reports.
WriteStep AdvanceWrite(WriteSlot& slot, int64_t reported, int64_t& result);

class WriteSlots {
 public:
  explicit WriteSlots(unsigned count);

  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(slots_.size()); }
  [[nodiscard]] unsigned in_use() const { return size() - static_cast<unsigned>(free_.size()); }
  [[nodiscard]] bool full() const { return free_.empty(); }
  [[nodiscard]] WriteSlot& operator[](unsigned index) { return slots_[index]; }

  // Takes a slot for a new write and returns its index. REQUIRES: !full().
  unsigned Take(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token);
  // Gives the slot back and returns its completion.
  WriteCompletion Finish(unsigned index, int64_t result);

  // The write never began: its completion is -`error`, to be had by FinishRefused().
  void Refuse(unsigned index, int error) { refused_.push_back({index, error}); }
  // Finishes refused writes into `out` while there is room; returns how many.
  size_t FinishRefused(std::span<WriteCompletion> out);

 private:
  struct Refusal {
    unsigned index;
    int error;
  };
  std::vector<WriteSlot> slots_;
  std::vector<unsigned> free_;
  std::vector<Refusal> refused_;
};

// The kExhausted of SubmitWrite.
Status QueueFull(unsigned depth);

// An eventfd, non-blocking.
Result<int> MakeEventFd();
// Makes it readable; makes it unreadable.
void SignalEventFd(int fd);
void DrainEventFd(int fd);

}  // namespace steno
