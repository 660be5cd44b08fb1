// ByteInput: where the readers of this module get their bytes from: a descriptor, or whatever else delivers a
// capture file piece by piece.
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

class ByteInput {
 public:
  virtual ~ByteInput() = default;
  // Puts between 1 and into.size() bytes there and returns how many; 0 at the end. May wait for them.
  // REQUIRES: !into.empty().
  virtual Result<size_t> Read(std::span<uint8_t> into) = 0;
};

// Blocking reads from a file or pipe.
class FdInput final : public ByteInput {
 public:
  explicit FdInput(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<size_t> Read(std::span<uint8_t> into) override;

 private:
  UniqueFd fd_;
};

}  // namespace steno
