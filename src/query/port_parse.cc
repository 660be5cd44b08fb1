#include "query/port_parse.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "packet/wire.h"

namespace steno::internal {

namespace {

struct Transport {
  const char* name;
  int16_t number;
};
constexpr std::array<Transport, 3> kTransports = {
    {{"tcp", wire::kIpTcp}, {"udp", wire::kIpUdp}, {"sctp", wire::kIpSctp}}};

// Digits are numbers, whatever is wrong with them.
bool IsName(std::string_view text) {
  return text.find_first_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != text.npos &&
         !text.starts_with("0x") && !text.starts_with("0X");
}

std::optional<uint16_t> PortOfService(const std::string& name, const char* protocol) {
  std::array<char, 4096> buffer;
  servent entry{};
  servent* found = nullptr;
  if (::getservbyname_r(name.c_str(), protocol, &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return ntohs(static_cast<uint16_t>(found->s_port));
}

tl::unexpected<Error> FailName(std::string_view primitive, const Token& value, const std::string& problem) {
  return Fail(QueryError(value.column, fmt::format("{}{}: {}", primitive, Shorten(value.text), problem)));
}

// The one port that the name stands for: of TCP, of UDP, or of both, which then means any protocol; of SCTP
// where that was asked for.
Result<PortRange> PortOfName(std::string_view primitive, const Token& value, int16_t wanted) {
  const std::string name = LowerCase(value.text);
  std::optional<PortRange> named;
  for (const Transport& transport : kTransports) {
    if (wanted >= 0 ? wanted != transport.number : transport.number == wire::kIpSctp) continue;
    const auto port = PortOfService(name, transport.name);
    if (!port) continue;
    if (!named) {
      named = PortRange{{*port, *port}, transport.number};
    } else if (named->numbers.first != *port) {
      return FailName(primitive, value, "several ports have this name; say tcp, udp or sctp before it");
    } else {
      named->protocol = -1;
    }
  }
  if (named) return *named;
  return FailName(primitive, value, "a port is a number 0..65535, or the name of a service known here");
}

Result<PortRange> ParsePort(std::string_view primitive, const Token& value, int16_t wanted) {
  if (IsName(value.text)) return PortOfName(primitive, value, wanted);
  STENO_TRY(const uint32_t number, ParseNumber(primitive, value, kPortNumber));
  return PortRange{{number, number}, wanted};
}

}  // namespace

Result<PortRange> ParsePorts(std::string_view primitive, const Token& value, int16_t wanted, bool range) {
  const size_t dash = value.text.find('-', 1);
  if (dash == value.text.npos) return ParsePort(primitive, value, wanted);
  if (!range && IsName(value.text)) return ParsePort(primitive, value, wanted);  // "http-alt"
  if (!range) return FailName(primitive, value, "a range of ports needs \"portrange\"");
  if (!IsName(value.text)) {
    STENO_TRY(const NumberRange numbers, ParseNumberRange(primitive, value, kPortNumber));
    return PortRange{numbers, wanted};
  }
  const Token low{value.kind, value.text.substr(0, dash), value.column};
  const Token high{value.kind, value.text.substr(dash + 1), value.column + static_cast<uint32_t>(dash + 1)};
  if (high.text.empty()) return FailName(primitive, value, "a range is two ports with \"-\" between");
  STENO_TRY(const PortRange first, ParsePort(primitive, low, wanted));
  STENO_TRY(const PortRange last, ParsePort(primitive, high, wanted));
  if (first.numbers.first > last.numbers.first)
    return FailName(primitive, value, "the first end of the range is above the last");
  const bool same = first.protocol == last.protocol;
  return PortRange{{first.numbers.first, last.numbers.first}, same ? first.protocol : wanted};
}

}  // namespace steno::internal
