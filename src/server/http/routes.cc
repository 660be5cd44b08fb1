#include "server/http/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "query/parse.h"
#include "server/http/target.h"

namespace steno {
namespace {

constexpr const char* kPaths =
    "/query, /query/explain, /metrics, /debug/stats, /debug/config, /healthz, /readyz";
constexpr const char* kTextPlain = "text/plain; charset=utf-8";
constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";

HttpReply BadRequest(const HttpRequest& request, std::string text, ServerStats& stats) {
  stats.queries_invalid.fetch_add(1);
  STENO_INFO("query by {}: \"{}\": refused: {}", request.who, Printable(request.body), Printable(text));
  return {400, std::move(text) + "\n", kTextPlain, {}};
}

HttpReply WrongMethod(const HttpRequest& request, const std::string& path, const std::string& allowed) {
  return {405,
          fmt::format("{} {}: expected {}\n", Printable(request.method, 32), path, allowed),
          kTextPlain,
          {{"Allow", allowed}}};
}

Status ReadLimit(const std::optional<std::string>& header, const char* name, uint64_t& out) {
  if (!header || header->empty()) return {};
  const auto value = ParseLimit(*header);
  if (!value) return Fail(Error::Invalid(fmt::format("{}: {}", name, Printable(value.error().message, 256))));
  out = *value;
  return {};
}

// What the parameter says counts before the header. Media types that are none of ours ask for the default, as
// all clients send some.
Result<ResultFormat> FormatOf(const HttpRequest& request) {
  STENO_TRY(const auto parameter, TargetParameter(request.target, "format"));
  if (!parameter) return FormatOfAccept(request.accept.value_or(""));
  auto format = ParseResultFormat(*parameter);
  if (format) return format;
  return Fail(std::move(format).error().With(fmt::format("format={}", Printable(*parameter, 64))));
}

// Who asks for sums asks for JSON.
Status ReadGrouping(const HttpRequest& request, QueryJob& job) {
  STENO_TRY(const auto parameter, TargetParameter(request.target, "aggregate"));
  if (!parameter) return {};
  auto grouping = ParseGrouping(*parameter);
  if (!grouping)
    return Fail(std::move(grouping).error().With(fmt::format("aggregate={}", Printable(*parameter, 64))));
  job.format = ResultFormat::kJson;
  job.grouping = *grouping;
  return {};
}

std::variant<HttpReply, QueryJob> RouteQuery(const HttpRequest& request, ServerStats& stats, int64_t now_ns) {
  QueryJob job{request.body, request.who, nullptr, {}};
  const auto format = FormatOf(request);
  if (!format) return BadRequest(request, format.error().message, stats);
  job.format = *format;
  if (const Status read = ReadGrouping(request, job); !read)
    return BadRequest(request, read.error().message, stats);
  Status limits = ReadLimit(request.limit_bytes, "Steno-Limit-Bytes", job.limits.bytes);
  if (limits) limits = ReadLimit(request.limit_packets, "Steno-Limit-Packets", job.limits.packets);
  if (!limits) return BadRequest(request, "Invalid Limit Headers: " + limits.error().message, stats);
  auto expression = ParseQuery(request.body, now_ns);
  if (!expression) {
    return BadRequest(request, "could not parse query: " + QueryErrorText(expression.error()), stats);
  }
  job.expression = std::move(*expression);
  return job;
}

// The query is the body, or the parameter "query" for browsers.
std::variant<HttpReply, QueryJob> RouteExplain(HttpRequest request, ServerStats& stats, int64_t now_ns) {
  const auto parameter = TargetParameter(request.target, "query");
  if (!parameter) return BadRequest(request, parameter.error().message, stats);
  if (request.body.empty() && *parameter) request.body = **parameter;
  auto routed = RouteQuery(request, stats, now_ns);
  if (auto* job = std::get_if<QueryJob>(&routed)) {
    job->explain = true;
    job->text = "explain: " + job->text;
  }
  return routed;
}

HttpReply Readiness(const ServerPages& pages) {
  const std::vector<std::string> reasons = pages.not_ready();
  if (reasons.empty()) return {200, "ok\n", kTextPlain, {}};
  HttpReply reply{503, {}, kTextPlain, {}};
  for (const std::string& reason : reasons) reply.body += reason + "\n";
  return reply;
}

}  // namespace

std::variant<HttpReply, QueryJob> Route(const HttpRequest& request, const ServerPages& pages,
                                        ServerStats& stats, int64_t now_ns) {
  const std::string path = std::string(TargetPath(request.target));
  const bool get = request.method == "GET";
  // The incumbent takes any method on /query; what counts is the body.
  if (path == "/query/explain") return RouteExplain(request, stats, now_ns);
  if (path == "/query") return RouteQuery(request, stats, now_ns);
  if (path == "/") {
    if (request.method != "POST") return WrongMethod(request, path, "POST");
    return RouteQuery(request, stats, now_ns);
  }
  constexpr std::array kPages = {"/metrics", "/debug/stats", "/debug/config", "/healthz", "/readyz"};
  if (std::ranges::find(kPages, path) == kPages.end()) {
    return HttpReply{
        404, fmt::format("{}: no such page; there are {}\n", Printable(path, 256), kPaths), kTextPlain, {}};
  }
  if (!get) return WrongMethod(request, path, "GET");
  if (path == "/metrics") return HttpReply{200, pages.metrics(), kMetricsText, {}};
  if (path == "/debug/stats") return HttpReply{200, pages.stats(), kTextPlain, {}};
  if (path == "/debug/config") return HttpReply{200, pages.config(), "application/json", {}};
  if (path == "/healthz") return HttpReply{200, "ok\n", kTextPlain, {}};
  return Readiness(pages);
}

HeaderList QueryTrailers(const QuerySummary& summary) {
  HeaderList trailers = {{"Steno-Packets", std::to_string(summary.packets)},
                         {"Steno-Bytes", std::to_string(summary.bytes)},
                         {"Steno-Problems", std::to_string(summary.problems)},
                         {"Steno-Drops", std::to_string(summary.drops)},
                         {"Steno-Complete", summary.complete ? "true" : "false"}};
  if (!summary.complete) trailers.emplace_back("Steno-Reason", summary.reason);
  return trailers;
}

}  // namespace steno
