// Text of others in one printable line: control characters and bytes beyond ASCII escaped, at most `limit`
// bytes. A pure function.
#pragma once

#include <string>
#include <string_view>

namespace steno {

std::string Printable(std::string_view text, size_t limit = 1024);

}  // namespace steno
