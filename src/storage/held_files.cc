#include "storage/held_files.h"

#include <algorithm>
#include <utility>

#include "storage/remove_file.h"

namespace steno {

void HeldFiles::Sweep(const std::function<void()>& pause, const std::function<void(const HeldFile&)>& freed) {
  std::erase_if(files_, [&](const HeldFile& file) {
    if (!FreeUnread(file.fd.get(), pause)) return false;
    freed(file);
    return true;
  });
}

std::optional<HeldFile> HeldFiles::TakeOldest(const SpacePool& pool) {
  const auto oldest =
      std::ranges::find_if(files_, [&](const HeldFile& file) { return file.packets && file.pool == pool; });
  if (oldest == files_.end()) return std::nullopt;
  HeldFile file = std::move(*oldest);
  files_.erase(oldest);
  return file;
}

uint64_t HeldFiles::bytes() const {
  uint64_t sum = 0;
  for (const HeldFile& file : files_) sum += file.bytes;
  return sum;
}

uint64_t HeldFiles::bytes(const SpacePool& pool) const {
  uint64_t sum = 0;
  for (const HeldFile& file : files_) sum += file.pool == pool ? file.bytes : 0;
  return sum;
}

}  // namespace steno
