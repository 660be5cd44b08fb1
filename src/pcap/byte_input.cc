#include "pcap/byte_input.h"

#include <unistd.h>

#include <cerrno>

namespace steno {

Result<size_t> FdInput::Read(std::span<uint8_t> into) {
  while (true) {
    const ssize_t got = ::read(fd_.get(), into.data(), into.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return Fail(Error::System("read"));
  }
}

}  // namespace steno
