// Query text -> Expression, for both surface syntaxes of docs/QUERY.md, told apart by their first term.
//
// Errors (kInvalid) carry the 1-based column and a sentence: what is wrong, and what was expected there.
// Bounded: text of at most kMaxQueryBytes, nesting of at most kMaxQueryDepth, at most kMaxQueryTerms terms.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "query/expression.h"

namespace steno {

inline constexpr size_t kMaxQueryBytes = 64 * 1024;
inline constexpr unsigned kMaxQueryDepth = 200;
inline constexpr unsigned kMaxQueryTerms = 4096;
inline constexpr unsigned kMaxQueryFilters = 256;  // of the terms, those that libpcap compiles

// `now_ns`: what relative times ("last=45m", "3h ago") count back from.
Result<ExpressionPtr> ParseQuery(std::string_view text, int64_t now_ns);

// The error as one line for people: "column 6: port 65555: a port is 0..65535".
std::string QueryErrorText(const Error& error);

}  // namespace steno
