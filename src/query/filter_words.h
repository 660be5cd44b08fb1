// Primitives of the pcap-filter syntax that are nothing but words, and perhaps a number: "multicast",
// "greater 1000", "stp", "llc ui"; and those that are refused, with the reason.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "query/lexer.h"
#include "query/syntax_tree.h"

namespace steno::internal {

// Takes the primitive that starts at the next token. nullopt, and nothing taken, if that starts none of
// these.
Result<std::optional<SyntaxNode>> ParseFilterWord(TokenCursor& cursor, TreeLimits& limits);

// The same for the name behind "ether proto", as far as it stands for more than one number. `column`: of the
// name.
Result<std::optional<SyntaxNode>> LinkProtocol(std::string_view name, TreeLimits& limits, uint32_t column);

}  // namespace steno::internal
