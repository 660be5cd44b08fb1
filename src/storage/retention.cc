#include "storage/retention.h"

#include <utility>

#include "storage/retention_pass.h"

namespace steno {

Retention::Retention(std::vector<RetentionDirectory> directories) : directories_(std::move(directories)) {
  for (const RetentionDirectory& directory : directories_)
    inventories_.emplace_back(directory.packets_directory, directory.index_directory);
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
