// Query texts: any bytes are a query or an error with its place; a query's own text is read back as the same
// query, and it can be evaluated. Links: steno_query
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "packet/decode.h"
#include "query/parse.h"

namespace {

constexpr int64_t kNow = 1'700'000'000'000'000'000;

void CheckError(const steno::Error& error, std::string_view text) {
  STENO_CHECK(error.code == steno::ErrorCode::kInvalid);
  STENO_CHECK(error.column >= 1 && error.column <= text.size() + 1);
  // Messages go into logs and HTTP answers: printable ASCII, whatever the query was.
  for (const char c : steno::QueryErrorText(error)) STENO_CHECK(c >= 0x20 && c <= 0x7e);
}

// Packets of kNow that filters over bytes can look at: an IPv6 packet with extension headers inside VXLAN
// over IPv4, with a VLAN tag beside the frame; the same cut off; nothing.
constexpr std::array<uint8_t, 142> kFrame = {
    // Ethernet, 802.1Q, IPv4, UDP to 4789, VXLAN
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 8, 0, 0x45, 0, 0, 124, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0,
    0, 1, 10, 0, 0, 2, 0x30, 0, 0x12, 0xb5, 0, 104, 0, 0, 8, 0, 0, 0, 0, 0, 5, 0,
    // Ethernet, IPv6, destination options, TCP
    2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 34, 60, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 0, 1, 4, 0, 0, 0, 0,
    4, 0xd2, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0};

bool MatchesSome(const steno::Expression& expression) {
  bool matches = false;
  for (const size_t bytes : {kFrame.size(), size_t{60}, size_t{13}, size_t{0}}) {
    steno::PacketView packet;
    packet.time_ns = kNow;
    packet.original_bytes = kFrame.size();
    packet.frame = std::span(kFrame).first(bytes);
    packet.tag.present = bytes % 3 != 0;
    packet.tag.tci = 9;
    steno::PacketHeaders headers;
    steno::Decode(packet.frame, packet.tag, headers);
    matches |= steno::Matches(expression, headers, packet);
  }
  return matches;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto expression = steno::ParseQuery(text, kNow);
  if (!expression) {
    CheckError(expression.error(), text);
    return 0;
  }
  const bool matches = MatchesSome(**expression);
  STENO_CHECK(!matches || steno::TimeBounds(**expression).Contains(kNow));

  const std::string printed = steno::ToString(**expression);
  if (printed.size() > steno::kMaxQueryBytes) return 0;
  const auto again = steno::ParseQuery(printed, kNow);
  STENO_CHECK(again.has_value());
  STENO_CHECK(steno::ToString(**again) == printed);
  STENO_CHECK(MatchesSome(**again) == matches);
  return 0;
}
