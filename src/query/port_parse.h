// Ports: "80", "80-90", and names of services, which stand for numbers and perhaps a protocol.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "query/lexer.h"
#include "query/values.h"

namespace steno::internal {

struct PortRange {
  NumberRange numbers;
  int16_t protocol = -1;  // of the layer; -1: any with ports
};

// `wanted`: the protocol that was asked for, or -1. Names are those of the system's services(5) database: one
// that only TCP has means TCP, as in tcpdump. `range`: "A-B" is allowed.
Result<PortRange> ParsePorts(std::string_view primitive, const Token& value, int16_t wanted, bool range);

}  // namespace steno::internal
