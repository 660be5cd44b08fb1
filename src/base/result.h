// Result<T>: a value or an Error. STENO_TRY unwraps one or returns its error to the caller.
//
// The macros are statements, not expressions: g++ 12 miscompiles temporaries of statement expressions in coroutines.
#pragma once

#include <tl/expected.hpp>
#include <utility>

#include "base/error.h"

namespace steno {

template <class T>
using Result = tl::expected<T, Error>;

using Status = Result<void>;

inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace steno

#define STENO_CONCAT_INNER(a, b) a##b
#define STENO_CONCAT(a, b) STENO_CONCAT_INNER(a, b)

// STENO_TRY(auto x, Make()); declares x from the value, or returns the error.
#define STENO_TRY(declaration, expression) \
  STENO_TRY_INNER(STENO_CONCAT(steno_try_, __LINE__), declaration, expression)
#define STENO_TRY_INNER(temporary, declaration, expression)                      \
  auto temporary = (expression);                                                 \
  if (!temporary) return ::steno::Fail(std::move(temporary).error());            \
  declaration = std::move(*temporary)

// STENO_CHECK_OK(Do()); returns the error of a Status, if any.
#define STENO_CHECK_OK(expression)                                               \
  do {                                                                           \
    if (auto steno_status = (expression); !steno_status)                         \
      return ::steno::Fail(std::move(steno_status).error());                     \
  } while (0)
