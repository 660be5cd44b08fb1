#include "server/plan_json.h"

#include <nlohmann/json.hpp>

#include "query/time_parse.h"

namespace steno {
namespace {

nlohmann::ordered_json Time(int64_t time_ns, int64_t open) {
  if (time_ns == open) return nullptr;
  return internal::FormatTime(time_ns);
}

}  // namespace

std::string ToJson(const QueryPlan& plan) {
  const QueryPlan::Files& files = plan.files;
  const nlohmann::ordered_json json = {{"query", plan.query},
                                       {"after", Time(plan.bounds.begin_ns, INT64_MIN)},
                                       {"before", Time(plan.bounds.end_ns, INT64_MAX)},
                                       {"from_index", plan.from_index},
                                       {"from_packets", plan.from_packets},
                                       {"files",
                                        {{"total", files.total},
                                         {"outside_time", files.outside_time},
                                         {"ruled_out", files.ruled_out},
                                         {"nothing_to_read", files.nothing_to_read},
                                         {"gone", files.gone},
                                         {"to_read", files.to_read},
                                         {"without_index", files.without_index}}},
                                       {"blocks", plan.blocks},
                                       {"reads", plan.reads},
                                       {"bytes", plan.bytes},
                                       {"problems", plan.problems}};
  // Problems name paths, which may be of any bytes.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace steno
