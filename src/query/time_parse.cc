#include "query/time_parse.h"

#include <date/date.h>
#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "query/lexer.h"

namespace steno::internal {

namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
constexpr const char* kForms =
    "expected a time like 2024-02-29T12:00:00Z, 2024-02-29T12:00:00+01:00, 1700000000 or 3h ago";
constexpr const char* kZoneForms = "a zone is Z or an offset like +01:00";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Reads a text from left to right and knows where it stands, for the column of an error.
class Scanner {
 public:
  Scanner(std::string_view text, uint32_t column) : text_(text), column_(column) {}

  [[nodiscard]] bool AtEnd() const { return at_ == text_.size(); }
  [[nodiscard]] char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  [[nodiscard]] size_t at() const { return at_; }
  char Get() { return text_[at_++]; }

  bool Take(char c) {
    if (AtEnd() || Peek() != c) return false;
    ++at_;
    return true;
  }

  // Exactly `digits` digits.
  std::optional<int> Digits(unsigned digits) {
    int value = 0;
    for (unsigned i = 0; i < digits; ++i) {
      if (!IsDigit(Peek())) return std::nullopt;
      value = value * 10 + (Get() - '0');
    }
    return value;
  }

  // Digits as many as there are; nullopt if the number does not fit.
  std::optional<int64_t> Number() {
    int64_t value = 0;
    bool fits = true;
    while (IsDigit(Peek())) {
      const int64_t digit = Get() - '0';
      fits = fits && !__builtin_mul_overflow(value, int64_t{10}, &value) &&
             !__builtin_add_overflow(value, digit, &value);
    }
    return fits ? std::optional(value) : std::nullopt;
  }

  [[nodiscard]] tl::unexpected<Error> FailHere(std::string_view problem) const {
    return FailAt(at_, problem);
  }

  [[nodiscard]] tl::unexpected<Error> FailAt(size_t at, std::string_view problem) const {
    return Fail(
        QueryError(column_ + static_cast<uint32_t>(at), fmt::format("{}: {}", Shorten(text_), problem)));
  }

 private:
  std::string_view text_;
  uint32_t column_;
  size_t at_ = 0;
};

Result<int64_t> ToNanos(const Scanner& scanner, int64_t seconds, int64_t nanos) {
  // Before the epoch one second up and its rest down, so that the earliest time does not overflow on the way.
  const int64_t whole = seconds < 0 ? seconds + 1 : seconds;
  const int64_t rest = seconds < 0 ? nanos - kNanosPerSecond : nanos;
  int64_t time = 0;
  if (__builtin_mul_overflow(whole, kNanosPerSecond, &time) || __builtin_add_overflow(time, rest, &time)) {
    return scanner.FailAt(0, "a time is between 1677-09-21 and 2262-04-11");
  }
  return time;
}

// ".123456789" in nanoseconds; 0 if there is no fraction.
Result<int64_t> ReadFraction(Scanner& scanner) {
  if (!scanner.Take('.')) return 0;
  if (!IsDigit(scanner.Peek())) return scanner.FailHere("expected digits after the decimal point");
  int64_t nanos = 0;
  unsigned digits = 0;
  for (; IsDigit(scanner.Peek()); ++digits) {
    if (digits == 9) return scanner.FailHere("a second has at most 9 decimal places");
    nanos = nanos * 10 + (scanner.Get() - '0');
  }
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

struct ClockTime {
  int hour = 0;
  int minute = 0;
  int second = 0;
};

Result<date::sys_days> ReadDate(Scanner& scanner) {
  const auto year = scanner.Digits(4);
  if (!year || !scanner.Take('-')) return scanner.FailHere(kForms);
  const size_t month_at = scanner.at();
  const auto month = scanner.Digits(2);
  if (!month || !scanner.Take('-')) return scanner.FailHere(kForms);
  if (*month < 1 || *month > 12) return scanner.FailAt(month_at, "a month is 01..12");
  const size_t day_at = scanner.at();
  const auto day = scanner.Digits(2);
  if (!day) return scanner.FailHere(kForms);
  const date::year_month_day date{date::year{*year}, date::month{static_cast<unsigned>(*month)},
                                  date::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return scanner.FailAt(day_at, "this month has no such day");
  return date::sys_days{date};
}

Result<ClockTime> ReadClock(Scanner& scanner) {
  const size_t hour_at = scanner.at();
  const auto hour = scanner.Digits(2);
  if (!hour || !scanner.Take(':')) return scanner.FailHere(kForms);
  const size_t minute_at = scanner.at();
  const auto minute = scanner.Digits(2);
  if (!minute || !scanner.Take(':')) return scanner.FailHere(kForms);
  const size_t second_at = scanner.at();
  const auto second = scanner.Digits(2);
  if (!second) return scanner.FailHere(kForms);
  if (*hour > 23) return scanner.FailAt(hour_at, "an hour is 00..23");
  if (*minute > 59) return scanner.FailAt(minute_at, "a minute is 00..59");
  if (*second > 60) return scanner.FailAt(second_at, "a second is 00..59, or 60 for a leap second");
  return ClockTime{*hour, *minute, *second};
}

// "Z" or "+hh:mm", in seconds east of UTC.
Result<int> ReadZone(Scanner& scanner) {
  if (scanner.AtEnd()) return scanner.FailHere("a time needs a zone: Z for UTC, or an offset like +01:00");
  if (scanner.Take('Z') || scanner.Take('z')) return 0;
  const int sign = scanner.Peek() == '-' ? -1 : 1;
  const size_t zone_at = scanner.at();
  if (!scanner.Take('+') && !scanner.Take('-')) return scanner.FailHere(kZoneForms);
  const auto hours = scanner.Digits(2);
  if (!hours || !scanner.Take(':')) return scanner.FailAt(zone_at, kZoneForms);
  const auto minutes = scanner.Digits(2);
  if (!minutes || *hours > 23 || *minutes > 59) return scanner.FailAt(zone_at, kZoneForms);
  return sign * (*hours * 3600 + *minutes * 60);
}

Result<int64_t> ParseRfc3339(std::string_view text, uint32_t column) {
  Scanner scanner(text, column);
  STENO_TRY(const date::sys_days days, ReadDate(scanner));
  if (scanner.AtEnd()) {
    return scanner.FailHere("a date needs a time of day and a zone after it, like T12:00:00Z");
  }
  if (!scanner.Take('T') && !scanner.Take('t')) return scanner.FailHere(kForms);
  const size_t clock_at = scanner.at();
  STENO_TRY(const ClockTime clock, ReadClock(scanner));
  STENO_TRY(const int64_t nanos, ReadFraction(scanner));
  STENO_TRY(const int zone, ReadZone(scanner));
  if (!scanner.AtEnd()) return scanner.FailHere("nothing may follow the zone");

  const int64_t day_start = std::chrono::seconds(days.time_since_epoch()).count();
  const int64_t seconds = day_start + clock.hour * 3600 + clock.minute * 60 + clock.second - zone;
  // RFC 3339 section 5.6: a leap second is the last of a day of UTC.
  if (clock.second == 60 && seconds % kSecondsPerDay != 0) {
    return scanner.FailAt(clock_at + 6, "a leap second is at 23:59:60 UTC only");
  }
  return ToNanos(scanner, seconds, nanos);
}

Result<int64_t> ParseUnixTime(std::string_view text, uint32_t column) {
  Scanner scanner(text, column);
  const auto seconds = scanner.Number();
  if (scanner.at() == 0) return scanner.FailHere(kForms);
  STENO_TRY(const int64_t nanos, ReadFraction(scanner));
  if (!scanner.AtEnd()) return scanner.FailHere(kForms);
  return ToNanos(scanner, seconds.value_or(INT64_MAX), nanos);
}

int64_t UnitSeconds(char unit) {
  switch (unit) {
    case 's':
    case 'S':
      return 1;
    case 'm':
    case 'M':
      return 60;
    case 'h':
    case 'H':
      return 3600;
    case 'd':
    case 'D':
      return kSecondsPerDay;
    default:
      return 0;
  }
}

}  // namespace

Result<int64_t> ParseTimestamp(std::string_view text, uint32_t column) {
  const bool calendar = text.find_first_of("-:") != std::string_view::npos;
  return calendar ? ParseRfc3339(text, column) : ParseUnixTime(text, column);
}

Result<int64_t> ParseDuration(std::string_view text, uint32_t column) {
  Scanner scanner(text, column);
  int64_t total = 0;
  do {
    const size_t number_at = scanner.at();
    const auto number = scanner.Number();
    if (scanner.at() == number_at)
      return scanner.FailHere("expected a duration like 45m, 3h, 30s, 2d or 1h30m");
    const int64_t unit = UnitSeconds(scanner.Peek());
    if (unit == 0) return scanner.FailHere("a duration is whole numbers, each with its unit: s, m, h or d");
    scanner.Get();
    int64_t part = 0;
    if (!number || __builtin_mul_overflow(*number, unit * kNanosPerSecond, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return scanner.FailAt(number_at, "a duration is at most 292 years");
    }
  } while (!scanner.AtEnd());
  return total;
}

Result<int64_t> ParseTimeAgo(std::string_view text, uint32_t column, int64_t now_ns) {
  STENO_TRY(const int64_t duration, ParseDuration(text, column));
  int64_t time = 0;
  if (__builtin_sub_overflow(now_ns, duration, &time)) {
    return Scanner(text, column).FailAt(0, "that long ago is before 1677-09-21, the earliest time");
  }
  return time;
}

std::string FormatTime(int64_t time_ns) {
  const date::sys_time<std::chrono::nanoseconds> time{std::chrono::nanoseconds(time_ns)};
  // Seconds first: the start of the earliest day is outside what nanoseconds can hold.
  const auto second = date::floor<std::chrono::seconds>(time);
  const auto day = date::floor<date::days>(second);
  const date::year_month_day date{day};
  const int64_t clock = std::chrono::seconds(second - day).count();
  const int64_t nanos = ((time_ns % kNanosPerSecond) + kNanosPerSecond) % kNanosPerSecond;
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock / 3600, clock / 60 % 60, clock % 60);
  if (nanos != 0) {
    std::string fraction = fmt::format(".{:09}", nanos);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += fraction;
  }
  return text + "Z";
}

}  // namespace steno::internal
