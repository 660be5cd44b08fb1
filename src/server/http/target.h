// The target of a request: "/query/explain?query=port%2080". Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace steno {

// What is in front of the "?".
std::string_view TargetPath(std::string_view target);

// The value of a parameter behind the "?", decoded: "+" is a blank, "%2B" a plus. nullopt if it is not there;
// the first if it is there twice. kInvalid for a "%" without two hexadecimal digits.
Result<std::optional<std::string>> TargetParameter(std::string_view target, std::string_view name);

}  // namespace steno
