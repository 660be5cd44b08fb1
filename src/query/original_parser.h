// The original syntax: "ip=192.0.2.1 port=80|port=443 last=4h".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "query/expression.h"

namespace steno::internal {

// Whether the text begins with a term of this syntax.
bool IsOriginalSyntax(std::string_view text);

Result<ExpressionPtr> ParseOriginal(std::string_view text, int64_t now_ns);

}  // namespace steno::internal
