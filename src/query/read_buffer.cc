#include "query/read_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace steno {
namespace {

constexpr size_t kMaxFreeBuffers = 16;
// A merge in the order of times needs a block of each thread at a time; every query may keep so much.
constexpr size_t kMaxFreeBytes = 2 << 20;
constexpr size_t kMinBufferBytes = 32 * 1024;

Mapping Map(size_t bytes) {
  const bool huge = bytes % Mapping::kHugePageBytes == 0;
  Result<Mapping> mapped = huge ? Mapping::AnonymousHuge(bytes) : Mapping::Anonymous(bytes);
  if (!mapped) throw std::bad_alloc();
  return std::move(*mapped);
}

}  // namespace

Buffer::Buffer(size_t capacity) : capacity_(capacity) {
  if (capacity < kMappedBytes) {
    small_ = std::make_unique_for_overwrite<uint8_t[]>(capacity);
    data_ = small_.get();
    return;
  }
  mapped_ = std::make_shared<Mapping>(Map(capacity));
  data_ = mapped_->data();
}

Buffer::Buffer(Buffer&& other) noexcept
    : small_(std::move(other.small_)),
      mapped_(std::move(other.mapped_)),
      data_(std::exchange(other.data_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(small_, other.small_);
  std::swap(mapped_, other.mapped_);
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

Buffer::~Buffer() {
  // A half whose other half lives on is given back all the same.
  if (mapped_.use_count() > 1) ::madvise(data_, capacity_, MADV_DONTNEED);
}

std::pair<Buffer, Buffer> Buffer::MakeHalves() {
  std::pair<Buffer, Buffer> halves{Buffer(kHugePageBytes), Buffer()};
  halves.first.capacity_ = kHugePageBytes / 2;
  halves.second.mapped_ = halves.first.mapped_;
  halves.second.data_ = halves.first.data_ + kHugePageBytes / 2;
  halves.second.capacity_ = kHugePageBytes / 2;
  return halves;
}

Buffer BufferPool::Take(size_t bytes) {
  const size_t capacity = std::bit_ceil(std::max(bytes, kMinBufferBytes));
  const auto fits = std::ranges::find(free_, capacity, &Buffer::capacity);
  if (fits != free_.end()) {
    Buffer buffer = std::move(*fits);
    free_.erase(fits);
    free_bytes_ -= capacity;
    return buffer;
  }
  if (capacity != Buffer::kHugePageBytes / 2) return Buffer(capacity);
  auto [buffer, other] = Buffer::MakeHalves();
  Give(std::move(other));
  return std::move(buffer);
}

void BufferPool::Give(Buffer buffer) {
  if (buffer.capacity() < kMinBufferBytes || buffer.capacity() > kMaxFreeBytes) return;
  free_bytes_ += buffer.capacity();
  free_.push_back(std::move(buffer));
  // The oldest goes first: its size may be one that is asked for no more.
  while (free_bytes_ > kMaxFreeBytes || free_.size() > kMaxFreeBuffers) {
    free_bytes_ -= free_.front().capacity();
    free_.erase(free_.begin());
  }
}

}  // namespace steno
