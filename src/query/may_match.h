// Whether a file can be left out of a query without opening it. Pure functions.
#pragma once

#include <functional>

#include "packet/address.h"
#include "query/expression.h"
#include "query/flow_select.h"

namespace steno {

// False only if no packet matches, of a file whose packets are inside `span`, and have an address only if
// may_hold() says that they may.
bool MayMatch(const Expression& expression, const TimeSpan& span,
              const std::function<bool(const Address&)>& may_hold);

}  // namespace steno
