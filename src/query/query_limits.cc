#include "query/query_limits.h"

#include <fmt/format.h>

namespace steno {
namespace {

constexpr uint64_t kMaxLimit = INT64_MAX;  // Go reads an int64

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// Takes a base prefix off `digits`. `prefixed` tells whether an underscore may come first.
unsigned TakeBase(std::string_view& digits, bool& prefixed) {
  prefixed = false;
  if (digits.size() < 2 || digits[0] != '0') return 10;
  const char letter = static_cast<char>(digits[1] | 0x20);
  const unsigned base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  prefixed = true;
  digits.remove_prefix(base == 0 ? 1 : 2);
  return base == 0 ? 8 : base;
}

Error Wrong(std::string_view text) {
  return Error::Invalid(fmt::format("\"{}\": expected a whole number 0..{}, decimal, 0x, 0o or 0b",
                                    text.substr(0, 64), kMaxLimit));
}

}  // namespace

Result<uint64_t> ParseLimit(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  bool after_digit = false;
  const unsigned base = TakeBase(digits, after_digit);
  uint64_t value = 0;
  bool ends_in_digit = false;
  for (const char c : digits) {
    if (c == '_') {
      if (!after_digit) return Fail(Wrong(text));
      after_digit = ends_in_digit = false;
      continue;
    }
    const auto digit = static_cast<unsigned>(DigitValue(c));
    if (digit >= base || value > (kMaxLimit - digit) / base) return Fail(Wrong(text));
    value = value * base + digit;
    after_digit = ends_in_digit = true;
  }
  if (!ends_in_digit) return Fail(Wrong(text));
  return value;
}

LimitCounter::Verdict LimitCounter::Count(uint64_t packets, uint64_t bytes) {
  packets_ += packets;
  bytes_ += bytes;
  if (limits_.packets != 0 && packets_ >= limits_.packets) return Verdict::kPacketLimit;
  if (limits_.bytes != 0 && bytes_ >= limits_.bytes) return Verdict::kByteLimit;
  return Verdict::kMore;
}

}  // namespace steno
