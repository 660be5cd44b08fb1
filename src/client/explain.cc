#include "client/explain.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "query/time_parse.h"

namespace steno {
namespace {

constexpr size_t kMaxPlanBytes = 16 << 20;

class TextSink : public ResultSink {
 public:
  bool Write(std::span<const uint8_t> bytes) override {
    if (text_.size() + bytes.size() > kMaxPlanBytes) return false;
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  }
  bool WantsMore() override { return true; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Result<int64_t> ReadTime(const nlohmann::json& value, int64_t open) {
  if (value.is_null()) return open;
  return internal::ParseTimestamp(value.get<std::string>(), 1);
}

}  // namespace

Result<QueryPlan> ReadPlan(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    QueryPlan plan;
    plan.query = json.at("query");
    STENO_TRY(plan.bounds.begin_ns, ReadTime(json.at("after"), INT64_MIN));
    STENO_TRY(plan.bounds.end_ns, ReadTime(json.at("before"), INT64_MAX));
    plan.from_index = json.at("from_index");
    plan.from_packets = json.at("from_packets");
    const nlohmann::json& files = json.at("files");
    plan.files = {files.at("total"),           files.at("outside_time"), files.at("ruled_out"),
                  files.at("nothing_to_read"), files.at("gone"),         files.at("to_read"),
                  files.at("without_index")};
    plan.blocks = json.at("blocks");
    plan.reads = json.at("reads");
    plan.bytes = json.at("bytes");
    plan.problems = json.at("problems");
    return plan;
  } catch (const nlohmann::json::exception& e) {
    return Fail(Error::Invalid(fmt::format("the server's answer is no plan: {}", e.what())));
  }
}

Result<std::string> FetchExplanation(const std::vector<Endpoint>& endpoints, const std::string& cert_path,
                                     QueryRequest request) {
  request.path = "/query/explain";
  TextSink sink;
  STENO_TRY(const QueryOutcome outcome, FetchQuery(endpoints, cert_path, request, sink));
  switch (outcome.kind) {
    case QueryOutcome::Kind::kComplete:
      break;
    case QueryOutcome::Kind::kStopped:
      return Fail(Error::Invalid(fmt::format("the server's answer has more than {} bytes", kMaxPlanBytes)));
    case QueryOutcome::Kind::kRefused:
    case QueryOutcome::Kind::kIncomplete:
      return Fail(Error::Invalid(outcome.text));
  }
  STENO_TRY(const QueryPlan plan, ReadPlan(sink.text()));
  return ToText(plan);
}

}  // namespace steno
