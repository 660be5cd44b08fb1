// Scratch: a piece of memory of fixed size that is handed out in parts and taken back in the reverse order.
// What needs much memory for a moment, again and again, takes it from here: its peak is known beforehand, and
// pages are touched once.
//
// Not thread-safe. Parts are not initialised.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <new>
#include <span>
#include <type_traits>

#include "base/bytes.h"
#include "base/result.h"

namespace steno {

class Scratch {
 public:
  explicit Scratch(std::span<uint8_t> memory) : memory_(memory) {}

  // kExhausted if so much is not left.
  template <class T>
  Result<std::span<T>> Take(size_t count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    if (count > left<T>()) {
      return Fail(Error::Exhausted(fmt::format("{} bytes of scratch memory, {} of {} are left",
                                               count * sizeof(T), left<uint8_t>(), memory_.size())));
    }
    const std::span<T> part(std::launder(reinterpret_cast<T*>(memory_.data() + used_)), count);
    used_ = AlignUp(used_ + count * sizeof(T), kAlignment);
    return part;
  }

  // Gives back a part and all that was taken after it.
  template <class T>
  void Release(std::span<T> part) {
    if (!part.empty()) used_ = static_cast<size_t>(reinterpret_cast<uint8_t*>(part.data()) - memory_.data());
  }

  // How many T can be taken.
  template <class T>
  [[nodiscard]] size_t left() const {
    return used_ >= memory_.size() ? 0 : (memory_.size() - used_) / sizeof(T);
  }

  // What is taken while one of these lives is given back at its end.
  class Mark {
   public:
    explicit Mark(Scratch& scratch) : scratch_(scratch), used_(scratch.used_) {}
    ~Mark() { scratch_.used_ = used_; }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    Scratch& scratch_;
    const size_t used_;
  };

 private:
  static constexpr size_t kAlignment = 64;

  std::span<uint8_t> memory_;
  size_t used_ = 0;
};

}  // namespace steno
