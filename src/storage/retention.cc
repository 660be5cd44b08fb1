#include "storage/retention.h"

#include <algorithm>
#include <utility>

#include "storage/retention_pass.h"

namespace steno {

Retention::Retention(std::vector<RetentionDirectory> directories) : directories_(std::move(directories)) {
  for (const RetentionDirectory& directory : directories_)
    inventories_.emplace_back(directory.packets_directory, directory.index_directory);
}

void Retention::TakeLimits(const std::vector<RetentionDirectory>& fresh) {
  for (RetentionDirectory& directory : directories_) {
    const auto same = [&](const RetentionDirectory& other) {
      return other.packets_directory == directory.packets_directory &&
             other.index_directory == directory.index_directory;
    };
    if (const auto found = std::ranges::find_if(fresh, same); found != fresh.end()) directory = *found;
  }
}

RetentionReport Retention::Enforce() { return RetentionPass(*this, /*dry=*/false).Run(); }

RetentionPlan Retention::Explain(std::vector<RetentionDirectory> directories) {
  Retention retention(std::move(directories));
  RetentionPass pass(retention, /*dry=*/true);
  RetentionPlan plan;
  plan.states = pass.States();
  plan.report = pass.Run();
  return plan;
}

}  // namespace steno
