// Mapping: sole owner of an mmap()ed range; unmaps it when destroyed. Move-only. Not synchronised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace steno {

class Mapping {
 public:
  static constexpr size_t kHugePageBytes = 2 << 20;

  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // Maps `bytes` of `fd` shared, readable and (if `writable`) writable.
  static Result<Mapping> Shared(int fd, size_t bytes, bool writable);
  // Maps `bytes` of zeroed private memory; pages are taken when first touched.
  static Result<Mapping> Anonymous(size_t bytes);
  // The same in huge pages where the system has some. REQUIRES: `bytes` is a multiple of kHugePageBytes.
  static Result<Mapping> AnonymousHuge(size_t bytes);
  // Takes over a range that the caller has mapped.
  static Mapping Adopt(void* data, size_t bytes);

  // Takes all pages now and not when they are first touched, where the system can and has them (Linux 5.14).
  void TakePages() const;

  [[nodiscard]] uint8_t* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] std::span<uint8_t> bytes() const { return {data_, size_}; }

 private:
  Mapping(uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace steno
