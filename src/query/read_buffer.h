// Buffers that packets are read into: of one query, uninitialised, and used again.
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/mapping.h"

namespace steno {

// Large ones are mapped: they begin at a page, as direct reads demand, and are given back to the system at
// once. Those for whole blocks are in huge pages where the system has some: for each page in its own place a
// disk takes a description, and many of them cost it, and the kernel, more than reading.
class Buffer {
 public:
  static constexpr size_t kMappedBytes = 64 * 1024;
  static constexpr size_t kHugePageBytes = Mapping::kHugePageBytes;

  Buffer() = default;
  // Throws std::bad_alloc.
  explicit Buffer(size_t capacity);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // The two halves of a huge page.
  static std::pair<Buffer, Buffer> MakeHalves();

  [[nodiscard]] uint8_t* data() const { return data_; }
  [[nodiscard]] size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<uint8_t[]> small_;
  std::shared_ptr<Mapping> mapped_;  // with the other half, if it is one
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

class BufferPool {
 public:
  // At least `bytes`.
  Buffer Take(size_t bytes);
  // For further Take()s, or freed: what is kept is limited.
  void Give(Buffer buffer);

 private:
  std::vector<Buffer> free_;  // the oldest first
  size_t free_bytes_ = 0;
};

}  // namespace steno
