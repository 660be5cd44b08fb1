// Networks: "10.0.0.0/8", "10.0.0.0 mask 255.0.0.0", "10", "2001:db8::/32", "192.0.2.5-192.0.2.9".
#pragma once

#include <string_view>

#include "base/result.h"
#include "packet/address.h"
#include "query/lexer.h"

namespace steno::internal {

// `value` is the first word, already taken from `cursor`; a prefix length or a mask is taken from there. Bits
// of the address behind the prefix are ignored.
Result<AddressRange> ParseNetwork(TokenCursor& cursor, std::string_view primitive, const Token& value);

}  // namespace steno::internal
