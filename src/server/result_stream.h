// ResultStream: the bytes of a result on their way from the thread that makes them to the one that sends
// them.
//
// One producer and one consumer, which may be different threads. The consumer sees whatever has been
// published, however little, and reads it in place. Publishing takes no lock: it happens for every packet.
// Memory: kMaxChunks chunks, which are used again and again; when all are full, the producer waits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steno {

class ResultStream {
 public:
  static constexpr size_t kChunkBytes = 256 << 10;
  static constexpr size_t kMaxChunks = 8;
  static constexpr size_t kMaxRoom = kChunkBytes + kChunkBytes / 8;

  // Producer: where at most `bytes` may be appended; null if that took until the deadline, or a stop was
  // requested. REQUIRES: bytes <= kMaxRoom.
  std::string* Room(size_t bytes, const std::stop_token& stop, int64_t deadline_ns) {
    if (open_ && open_->bytes.capacity() - open_->bytes.size() >= bytes) return &open_->bytes;
    return OpenChunk(stop, deadline_ns) ? &open_->bytes : nullptr;
  }
  // Producer: lets the consumer have what has been appended since Room(). True if a chunk has become full.
  bool Publish() {
    open_->published.store(open_->bytes.size(), std::memory_order_release);
    if (open_->bytes.size() >= kChunkBytes) CloseChunk();
    return std::exchange(closed_one_, false);
  }
  // Producer: the last bytes, however many; never waits.
  void PublishLast(std::string bytes);

  // Consumer: bytes that have not been taken yet: those of full chunks first, and otherwise whatever there
  // is. Empty: nothing at the moment. They stay in place until the next call.
  std::string_view Take();
  // Consumer: nothing was left behind Take() when that returned.
  [[nodiscard]] bool drained() const { return drained_; }

 private:
  struct Chunk {
    std::string bytes;  // the producer's alone, but for bytes before `published`; its memory never moves
    std::atomic<size_t> published = 0;
    size_t taken = 0;     // the consumer's
    bool closed = false;  // nothing more will be appended; guarded by mutex_
  };
  using ChunkPtr = std::unique_ptr<Chunk>;

  bool OpenChunk(const std::stop_token& stop, int64_t deadline_ns);
  void CloseChunk();
  void DropTaken();

  Chunk* open_ = nullptr;    // the producer's: the last of chunks_, unless that is closed
  bool closed_one_ = false;  // the producer's: since the last Publish()
  bool drained_ = true;      // the consumer's

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any space_;
  std::deque<ChunkPtr> chunks_;  // not yet taken to the end, in order
  std::vector<ChunkPtr> free_;
};

}  // namespace steno
