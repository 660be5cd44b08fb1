// How much of a result a client wants: the headers Steno-Limit-Packets and Steno-Limit-Bytes.
//
// Plain values, pure functions. The arithmetic is the incumbent's: the file header counts as 16 bytes, a
// packet as its captured bytes and 16; the packet that reaches a limit is still included.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace steno {

struct QueryLimits {
  uint64_t packets = 0;  // 0: no limit
  uint64_t bytes = 0;    // 0: no limit
};

// A limit as Go's strconv.ParseInt with base 0 reads it (0x, 0o, 0b, leading 0 for octal, underscores between
// digits), but not negative. kInvalid says what was expected.
Result<uint64_t> ParseLimit(std::string_view text);

// Counts down what may still be sent.
class LimitCounter {
 public:
  enum class Verdict { kMore, kPacketLimit, kByteLimit };

  explicit LimitCounter(const QueryLimits& limits) : limits_(limits) {}

  // Before the first packet: the header alone may use the limit up.
  Verdict CountFileHeader() { return Count(0, 16); }
  // After a packet of `captured_bytes`.
  Verdict CountPacket(uint64_t captured_bytes) { return Count(1, captured_bytes + 16); }

 private:
  Verdict Count(uint64_t packets, uint64_t bytes);

  QueryLimits limits_;
  uint64_t packets_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace steno
