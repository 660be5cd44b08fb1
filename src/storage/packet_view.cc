#include "storage/packet_view.h"

#include <fmt/format.h>

namespace steno {

bool PacketWalk::Damaged(const char* what) {
  done_ = true;
  status_ = Fail(Error::Corrupt(fmt::format("packet at byte {}: {}", base_offset_ + at_, what)));
  return false;
}

}  // namespace steno
