// Random expressions for the property tests of the query language.
#pragma once

#include <cstdint>
#include <random>

#include "query/expression.h"

namespace steno::testing {

// A tree of at most `depth` levels, made only of what a query can say, with values from a small pool so that
// terms hit.
ExpressionPtr MakeRandomQuery(std::mt19937_64& random, unsigned depth);

// Times in random queries are between 0 and this.
inline constexpr int64_t kRandomTimeEnd = 64;

// Headers as of a packet, with values from the same pool; not necessarily such as a decoder would find.
PacketHeaders MakeRandomHeaders(std::mt19937_64& random);

}  // namespace steno::testing
