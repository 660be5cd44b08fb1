// HeldFiles: deleted files that somebody still has open, so that their space is not free.
//
// A lease tells (remove_file.h): it is refused as long as any process has the file, be it a query of the
// server or a program of the administrator. Owns a descriptor of each file. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "storage/free_space.h"

namespace steno {

struct HeldFile {
  UniqueFd fd;
  std::string path;  // that it had
  SpacePool pool;
  uint64_t bytes = 0;
  bool packets = true;  // false: an index, which readers may have mapped, so that it cannot be cut
};

class HeldFiles {
 public:
  void Add(HeldFile file) { files_.push_back(std::move(file)); }

  // Frees those that nobody has open any more; `freed` is called for each, `pause` between the steps.
  void Sweep(const std::function<void()>& pause, const std::function<void(const HeldFile&)>& freed);

  // Takes out the packet file of a pool that was deleted first.
  std::optional<HeldFile> TakeOldest(const SpacePool& pool);

  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] uint64_t bytes(const SpacePool& pool) const;
  [[nodiscard]] size_t count() const { return files_.size(); }

 private:
  std::vector<HeldFile> files_;  // in the order of their deletion
};

}  // namespace steno
