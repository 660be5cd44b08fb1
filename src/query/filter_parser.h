// The pcap-filter syntax: "host 192.0.2.1 and (tcp port 80 or 443) and after 3h ago".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "query/expression.h"

namespace steno::internal {

Result<ExpressionPtr> ParseFilter(std::string_view text, int64_t now_ns);

}  // namespace steno::internal
