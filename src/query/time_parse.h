// Times in queries: RFC 3339 and Unix times, durations, and time back to text. Pure.
//
// Times are nanoseconds since the epoch in int64_t: 1677-09-21T00:12:43.145224192Z to
// 2262-04-11T23:47:16.854775807Z. Errors (kInvalid) carry `column`, where `text` begins, plus the offset of
// the offending byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace steno::internal {

// "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123456789+05:30", "1700000000", "1700000000.123456789".
// A leap second (23:59:60 UTC) is the second after it, as in POSIX time.
Result<int64_t> ParseTimestamp(std::string_view text, uint32_t column);

// "45m", "3h", "30s", "2d", "1h30m": in nanoseconds.
Result<int64_t> ParseDuration(std::string_view text, uint32_t column);

// A duration counted back from `now_ns`.
Result<int64_t> ParseTimeAgo(std::string_view text, uint32_t column, int64_t now_ns);

// RFC 3339 in UTC, with as many digits of the second as needed: "2024-02-29T12:00:00.5Z".
std::string FormatTime(int64_t time_ns);

}  // namespace steno::internal
