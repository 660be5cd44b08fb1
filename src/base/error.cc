#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace steno {

Error Error::System(std::string_view what, int number) {
  const int code = number >= 0 ? number : errno;
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(code);
  return {ErrorCode::kIo, code, 0, std::move(text)};
}

Error Error::With(std::string_view context) && {
  std::string text(context);
  text += ": ";
  text += message;
  message = std::move(text);
  return std::move(*this);
}

}  // namespace steno
