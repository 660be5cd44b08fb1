// Query texts: any bytes are a query or an error with its place; a query's own text is read back as the same
// query, and it can be evaluated. Links: steno_query
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "query/parse.h"

namespace {

constexpr int64_t kNow = 1'700'000'000'000'000'000;

void CheckError(const steno::Error& error, std::string_view text) {
  STENO_CHECK(error.code == steno::ErrorCode::kInvalid);
  STENO_CHECK(error.column >= 1 && error.column <= text.size() + 1);
  // Messages go into logs and HTTP answers: printable ASCII, whatever the query was.
  for (const char c : steno::QueryErrorText(error)) STENO_CHECK(c >= 0x20 && c <= 0x7e);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto expression = steno::ParseQuery(text, kNow);
  if (!expression) {
    CheckError(expression.error(), text);
    return 0;
  }
  const steno::PacketHeaders nothing;
  steno::PacketView packet;
  packet.time_ns = kNow;
  const bool matches = steno::Matches(**expression, nothing, packet);
  STENO_CHECK(!matches || steno::TimeBounds(**expression).Contains(kNow));

  const std::string printed = steno::ToString(**expression);
  if (printed.size() > steno::kMaxQueryBytes) return 0;
  const auto again = steno::ParseQuery(printed, kNow);
  STENO_CHECK(again.has_value());
  STENO_CHECK(steno::ToString(**again) == printed);
  return 0;
}
