// UserFilter: a classic BPF program applied to frames in this process, for packets that no packet socket has
// filtered.
//
// The program runs as libpcap runs it on a file: on the frame as it is, tags included. Thread-safe:
// immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "capture/filter_hex.h"

namespace steno {

class UserFilter {
 public:
  // An empty program accepts everything. kInvalid if the program is not sound, or loads what only the kernel
  // knows about a packet (its tag metadata, its interface, ...).
  static Result<UserFilter> Make(FilterProgram program);

  // What to keep of a frame, or nothing if the packet is refused. `original_bytes`: on the wire.
  [[nodiscard]] std::optional<std::span<const uint8_t>> Apply(std::span<const uint8_t> frame,
                                                              uint32_t original_bytes) const;

 private:
  explicit UserFilter(FilterProgram program) : program_(std::move(program)) {}

  FilterProgram program_;
};

}  // namespace steno
