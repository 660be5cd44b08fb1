#include "base/mapping.h"

#include <sys/mman.h>

#include <utility>

namespace steno {

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Mapping old(std::move(*this));  // unmaps what was held
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<Mapping> Mapping::Shared(int fd, size_t bytes, bool writable) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return Fail(Error::System("mmap of shared memory"));
  return Adopt(data, bytes);
}

Result<Mapping> Mapping::Anonymous(size_t bytes) {
  void* data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return Fail(Error::System("mmap of memory"));
  return Adopt(data, bytes);
}

Result<Mapping> Mapping::AnonymousHuge(size_t bytes) {
  Result<Mapping> wide = Anonymous(bytes + kHugePageBytes);  // somewhere in it a huge page begins
  if (!wide) return wide;
  uint8_t* const data = std::exchange(wide->data_, nullptr);
  const size_t before = -reinterpret_cast<uintptr_t>(data) % kHugePageBytes;
  if (before != 0) ::munmap(data, before);
  ::munmap(data + before + bytes, kHugePageBytes - before);  // never empty
  (void)::madvise(data + before, bytes, MADV_HUGEPAGE);      // best effort
  return Adopt(data + before, bytes);
}

void Mapping::TakePages() const { (void)::madvise(data_, size_, MADV_POPULATE_WRITE); }

Mapping Mapping::Adopt(void* data, size_t bytes) { return {static_cast<uint8_t*>(data), bytes}; }

}  // namespace steno
