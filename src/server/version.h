// The version of the server: that of the project in CMakeLists.txt (a test compares).
#pragma once

namespace steno {

inline constexpr const char* kServerVersion = "2.0.0";

}  // namespace steno
