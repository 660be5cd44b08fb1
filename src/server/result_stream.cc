#include "server/result_stream.h"

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace steno {

bool ResultStream::OpenChunk(const std::stop_token& stop, int64_t deadline_ns) {
  if (open_) CloseChunk();
  std::unique_lock lock(mutex_);
  const std::chrono::nanoseconds left(deadline_ns - MonotonicNs());
  const auto has_space = [this] { return chunks_.size() < kMaxChunks; };
  if (!space_.wait_until(lock, stop, std::chrono::steady_clock::now() + left, has_space)) return false;
  if (free_.empty()) {
    free_.push_back(std::make_unique<Chunk>());
    free_.back()->bytes.reserve(kMaxRoom);
  }
  chunks_.push_back(std::move(free_.back()));  // the one used last: it is still in the processor's cache
  free_.pop_back();
  open_ = chunks_.back().get();
  return true;
}

void ResultStream::CloseChunk() {
  closed_one_ = true;
  const std::lock_guard lock(mutex_);
  std::exchange(open_, nullptr)->closed = true;
}

void ResultStream::PublishLast(std::string bytes) {
  if (open_) CloseChunk();
  if (bytes.empty()) return;
  auto last = std::make_unique<Chunk>();
  last->bytes = std::move(bytes);
  last->published = last->bytes.size();
  last->closed = true;
  const std::lock_guard lock(mutex_);
  chunks_.push_back(std::move(last));
}

std::string_view ResultStream::Take() {
  const std::lock_guard lock(mutex_);
  DropTaken();
  drained_ = chunks_.size() <= 1;
  if (chunks_.empty()) return {};
  Chunk& first = *chunks_.front();
  const size_t published = first.published.load(std::memory_order_acquire);
  const size_t from = std::exchange(first.taken, published);
  return {first.bytes.data() + from, published - from};
}

// The first chunk, if there will be nothing more in it.
void ResultStream::DropTaken() {
  if (chunks_.empty()) return;
  ChunkPtr& first = chunks_.front();
  if (!first->closed || first->taken < first->published.load(std::memory_order_acquire)) return;
  if (first->bytes.capacity() == kMaxRoom) {
    first->bytes.clear();
    first->published = first->taken = 0;
    first->closed = false;
    free_.push_back(std::move(first));
  }
  chunks_.pop_front();
  space_.notify_one();
}

}  // namespace steno
