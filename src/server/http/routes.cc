#include "server/http/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "server/http/target.h"
#include "server/printable.h"

namespace steno {
namespace {

constexpr const char* kPaths =
    "/query, /query/explain, /status, /metrics, /debug/stats, /debug/config, /healthz, /readyz";
constexpr const char* kTextPlain = "text/plain; charset=utf-8";
constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";

// 429 and 503 say when to come again, in seconds.
HttpReply ReplyTo(const Refusal& refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::kForbidden:
      return {403, refusal.text + "\n", kTextPlain, {}};
    case Refusal::Kind::kBusy:
      return {refusal.of_client ? 429u : 503u, refusal.text + "\n", kTextPlain, {{"Retry-After", "5"}}};
    case Refusal::Kind::kInvalid:
      break;
  }
  return {400, refusal.text + "\n", kTextPlain, {}};
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
Status ReadGrouping(const HttpRequest& request, QueryRequest& query) {
  STENO_TRY(const auto parameter, TargetParameter(request.target, "aggregate"));
  if (!parameter) return {};
  auto grouping = ParseGrouping(*parameter);
  if (!grouping)
    return Fail(std::move(grouping).error().With(fmt::format("aggregate={}", Printable(*parameter, 64))));
  query.format = ResultFormat::kJson;
  query.grouping = *grouping;
  return {};
}

// What the request says beside the query's text.
Status ReadParameters(const HttpRequest& request, QueryRequest& query) {
  STENO_TRY(query.format, FormatOf(request));
  STENO_CHECK_OK(ReadGrouping(request, query));
  Status limits = ReadLimit(request.limit_bytes, "Steno-Limit-Bytes", query.limits.bytes);
  if (limits) limits = ReadLimit(request.limit_packets, "Steno-Limit-Packets", query.limits.packets);
  if (!limits) return Fail(Error::Invalid("Invalid Limit Headers: " + limits.error().message));
  return {};
}

// The text of a plan's query is the body, or the parameter "query" for browsers.
Status ReadText(const HttpRequest& request, QueryRequest& query) {
  query.text = request.body;
  if (query.operation != Operation::kExplain || !query.text.empty()) return {};
  STENO_TRY(const auto parameter, TargetParameter(request.target, "query"));
  query.text = parameter.value_or("");
  return {};
}

std::variant<HttpReply, QueryJob> RouteQuery(const HttpRequest& request, Operation operation,
                                             Admission& admission, int64_t now_ns) {
  QueryRequest query{.client = request.client, .operation = operation};
  Status read = ReadText(request, query);
  if (read) read = ReadParameters(request, query);
  if (!read) return ReplyTo(admission.Refuse(query, {Refusal::Kind::kInvalid, read.error().message}));
  auto admitted = admission.Admit(std::move(query), now_ns);
  if (const auto* refusal = std::get_if<Refusal>(&admitted)) return ReplyTo(*refusal);
  return std::move(std::get<QueryJob>(admitted));
}

HttpReply Readiness(const ServerPages& pages) {
  const std::vector<std::string> reasons = pages.not_ready();
  if (reasons.empty()) return {200, "ok\n", kTextPlain, {}};
  HttpReply reply{503, {}, kTextPlain, {}};
  for (const std::string& reason : reasons) reply.body += reason + "\n";
  return reply;
}

struct Page {
  std::string_view path;
  Operation operation;
  HttpReply (*show)(const ServerPages&);
};

constexpr std::array kPages = {
    Page{"/metrics", Operation::kStatus,
         [](const ServerPages& pages) { return HttpReply{200, pages.metrics(), kMetricsText, {}}; }},
    Page{"/status", Operation::kStatus,
         [](const ServerPages& pages) { return HttpReply{200, pages.status(), "application/json", {}}; }},
    Page{"/debug/stats", Operation::kStatus,
         [](const ServerPages& pages) { return HttpReply{200, pages.stats(), kTextPlain, {}}; }},
    Page{"/debug/config", Operation::kStatus,
         [](const ServerPages& pages) { return HttpReply{200, pages.config(), "application/json", {}}; }},
    Page{"/healthz", Operation::kHealth,
         [](const ServerPages&) { return HttpReply{200, "ok\n", kTextPlain, {}}; }},
    Page{"/readyz", Operation::kHealth, &Readiness},
};

HttpReply NoSuchPage(const std::string& path, const char* pages) {
  return {404, fmt::format("{}: no such page; there are {}\n", Printable(path, 256), pages), kTextPlain, {}};
}

std::variant<HttpReply, const Page*> FindPage(const HttpRequest& request, const std::string& path,
                                              const char* pages) {
  const auto* page = std::ranges::find(kPages, path, &Page::path);
  if (page == kPages.end()) return NoSuchPage(path, pages);
  if (request.method != "GET" && request.method != "HEAD") return WrongMethod(request, path, "GET, HEAD");
  return page;
}

}  // namespace

std::variant<HttpReply, QueryJob> Route(const HttpRequest& request, const ServerPages& pages,
                                        Admission& admission, int64_t now_ns) {
  const std::string path = std::string(TargetPath(request.target));
  // The incumbent takes any method on /query; what counts is the body.
  if (path == "/query/explain") return RouteQuery(request, Operation::kExplain, admission, now_ns);
  if (path == "/query") return RouteQuery(request, Operation::kQuery, admission, now_ns);
  if (path == "/") {
    if (request.method != "POST") return WrongMethod(request, path, "POST");
    return RouteQuery(request, Operation::kQuery, admission, now_ns);
  }
  auto found = FindPage(request, path, kPaths);
  if (auto* reply = std::get_if<HttpReply>(&found)) return std::move(*reply);
  const Page* const page = std::get<const Page*>(found);
  if (const auto refusal = admission.Check(request.client, page->operation)) return ReplyTo(*refusal);
  return page->show(pages);
}

std::variant<HttpReply, QueryJob> RouteMetrics(const HttpRequest& request, const ServerPages& pages) {
  const std::string path = std::string(TargetPath(request.target));
  constexpr std::array kOpen = {"/metrics", "/healthz", "/readyz"};
  if (std::ranges::find(kOpen, path) == kOpen.end()) return NoSuchPage(path, "/metrics, /healthz, /readyz");
  auto found = FindPage(request, path, kPaths);
  if (auto* reply = std::get_if<HttpReply>(&found)) return std::move(*reply);
  return std::get<const Page*>(found)->show(pages);
}

}  // namespace steno
