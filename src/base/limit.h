// Limits of which 0 means that there is none. Pure.
#pragma once

#include <algorithm>

namespace steno {

// The one that holds where both do.
template <class T>
T StricterLimit(T a, T b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

}  // namespace steno
