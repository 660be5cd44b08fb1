// One pass of a Retention over its directories. Single-threaded; for retention.cc alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "storage/retention.h"

namespace steno {

class RetentionPass {
 public:
  // `dry`: nothing is deleted, but counted as if it were.
  RetentionPass(Retention& retention, bool dry);

  RetentionReport Run();
  // REQUIRES: before Run().
  [[nodiscard]] std::vector<RetentionState> States() const;

 private:
  struct Directory {
    const RetentionDirectory* options = nullptr;
    std::vector<const InventoryFile*> files;  // what is left of the inventory begins at `next`
    size_t next = 0;
    uint64_t undeletable = 0;  // passed over, but still there
    uint64_t failures = 0;     // in a row
    uint64_t bytes = 0;        // what is there; 0 unless asked for
    SpacePool packets_pool;
    SpacePool index_pool;

    [[nodiscard]] bool empty() const { return next == files.size(); }
    [[nodiscard]] uint64_t count() const { return files.size() - next + undeletable; }
    [[nodiscard]] uint64_t oldest_us() const { return files[next]->order_us(); }
  };

  void Open(const RetentionDirectory& options, RetentionInventory& inventory);
  void SetScarce();
  void LimitAge();
  void LimitCounts();
  void LimitBytes();
  void LimitSpace();
  void Measure();
  void SweepHeld();
  bool CutHeld();
  [[nodiscard]] bool BreaksSpaceLimit(const Directory& directory) const;
  [[nodiscard]] bool IsExpired(const Directory& directory, size_t place) const;
  void DeleteOldest(Directory& directory, RetentionCause cause);
  bool Delete(Directory& directory, const InventoryFile& file, RetentionCause cause);
  static bool IsHopeless(Directory& directory);
  int Remove(const std::string& path, const SpacePool& pool, bool packets, uint64_t& bytes);
  void Unsatisfied(RetentionCause cause) { report_.unsatisfied[static_cast<size_t>(cause)] = true; }
  void Problem(const std::string& text);

  Retention& retention_;
  const bool dry_;
  const int64_t now_ns_;  // of the wall clock
  std::vector<Directory> directories_;
  RetentionReport report_;
};

}  // namespace steno
