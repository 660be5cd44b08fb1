#include "server/summary_fields.h"

namespace steno {

FieldList SummaryFields(const QuerySummary& summary) {
  FieldList fields = {{"Steno-Packets", std::to_string(summary.packets)},
                      {"Steno-Bytes", std::to_string(summary.bytes)},
                      {"Steno-Problems", std::to_string(summary.problems)},
                      {"Steno-Drops", std::to_string(summary.drops)},
                      {"Steno-Complete", summary.complete ? "true" : "false"}};
  if (!summary.complete) fields.emplace_back("Steno-Reason", summary.reason);
  return fields;
}

}  // namespace steno
