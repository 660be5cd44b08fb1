#include "server/admission.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limit.h"
#include "base/log.h"
#include "query/parse.h"
#include "server/printable.h"

namespace steno {
namespace {

bool Holds(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

bool Names(const RoleConfig& role, const ClientIdentity& client) {
  const auto& list = client.kind == ClientIdentity::Kind::kCertificate ? role.certificates : role.users;
  return Holds(list, client.name) || Holds(list, "*");
}

const RoleConfig* RoleOf(const std::vector<RoleConfig>& roles, const ClientIdentity& client) {
  const auto found = std::ranges::find_if(roles, [&](const RoleConfig& role) { return Names(role, client); });
  return found == roles.end() ? nullptr : &*found;
}

}  // namespace

const char* ToString(Operation operation) {
  switch (operation) {
    case Operation::kHealth:
      return "health";
    case Operation::kStatus:
      return "status";
    case Operation::kQuery:
      return "query";
    case Operation::kExplain:
      return "explain";
  }
  return "unknown";
}

Admission::Admission(const ServerConfig& config, ServerStats& stats, AuditLog* audit)
    : stats_(stats), audit_(audit) {
  Reconfigure(config);
}

void Admission::Reconfigure(const ServerConfig& config) {
  auto policy = std::make_shared<const Policy>(Policy{config.tls.allowed_names, config.roles, config.query});
  const std::lock_guard lock(mutex_);
  policy_ = std::move(policy);
}

std::shared_ptr<const Admission::Policy> Admission::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

std::optional<Refusal> Admission::CheckRole(const Policy& policy, const RoleConfig* role,
                                            const ClientIdentity& client, Operation operation) const {
  if (client.kind == ClientIdentity::Kind::kCertificate && !policy.allowed_names.empty() &&
      !Holds(policy.allowed_names, client.name)) {
    return Refusal{Refusal::Kind::kForbidden,
                   fmt::format("the certificate's name {} is not allowed", Printable(client.name, 128))};
  }
  if (operation == Operation::kHealth || policy.roles.empty()) return std::nullopt;
  if (role == nullptr)
    return Refusal{Refusal::Kind::kForbidden, fmt::format("{} has no role", Printable(client.name, 128))};
  if (role->operations.empty() || Holds(role->operations, ToString(operation))) return std::nullopt;
  return Refusal{Refusal::Kind::kForbidden, fmt::format("the role {} does not allow {}",
                                                        Printable(role->name, 128), ToString(operation))};
}

std::optional<Refusal> Admission::Check(const ClientIdentity& client, Operation operation) {
  const auto policy = this->policy();
  auto refusal = CheckRole(*policy, RoleOf(policy->roles, client), client, operation);
  if (!refusal) return std::nullopt;
  return Refuse({.client = client, .operation = operation}, std::move(*refusal));
}

Refusal Admission::Refuse(const QueryRequest& request, Refusal refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::kInvalid:
      stats_.queries_invalid.fetch_add(1);
      break;
    case Refusal::Kind::kForbidden:
      stats_.requests_forbidden.fetch_add(1);
      break;
    case Refusal::Kind::kBusy:
      stats_.queries_refused.fetch_add(1);
      break;
  }
  STENO_INFO("{} by {}: \"{}\": refused: {}", ToString(request.operation), request.client.Text(),
             Printable(request.text), refusal.text);
  if (audit_ != nullptr) {
    const auto policy = this->policy();
    const RoleConfig* const role = RoleOf(policy->roles, request.client);
    audit_->WriteRefusal({.client = request.client,
                          .role = role == nullptr ? "" : role->name,
                          .operation = ToString(request.operation),
                          .query = request.text},
                         refusal.text);
  }
  return refusal;
}

// The role's filter is parsed with the query: its relative times count back from the same moment.
Result<ExpressionPtr> Admission::Parse(const QueryRequest& request, const RoleConfig* role,
                                       int64_t now_ns) const {
  auto expression = ParseQuery(request.text, now_ns);
  if (!expression)
    return Fail(Error::Invalid("could not parse query: " + QueryErrorText(expression.error())));
  if (role == nullptr || role->filter.empty()) return expression;
  auto filter = ParseQuery(role->filter, now_ns);
  if (!filter) return Fail(Error::Invalid("the role's filter: " + QueryErrorText(filter.error())));
  return MakeAnd({std::move(*filter), std::move(*expression)});
}

// Null: the client has as many queries as it may have.
std::shared_ptr<void> Admission::TakePlace(const ClientIdentity& client, unsigned most) {
  const std::string key = (client.kind == ClientIdentity::Kind::kCertificate ? "CN=" : "user=") + client.name;
  const std::lock_guard lock(places_->mutex);
  unsigned& queries = places_->queries[key];
  if (most != 0 && queries >= most) return nullptr;
  ++queries;
  return {places_.get(), [places = places_, key](void*) {
            const std::lock_guard give_back(places->mutex);
            const auto found = places->queries.find(key);
            if (--found->second == 0) places->queries.erase(found);
          }};
}

std::variant<Refusal, QueryJob> Admission::Admit(QueryRequest request, int64_t now_ns) {
  const auto policy = this->policy();
  const RoleConfig* const role = RoleOf(policy->roles, request.client);
  if (auto refusal = CheckRole(*policy, role, request.client, request.operation))
    return Refuse(request, std::move(*refusal));
  auto expression = Parse(request, role, now_ns);
  if (!expression) return Refuse(request, {Refusal::Kind::kInvalid, expression.error().message});
  if (stats_.queries_waiting.load() >= policy->limits.max_waiting + policy->limits.max_concurrent)
    return Refuse(request, {Refusal::Kind::kBusy, "too many queries wait: try again later"});
  const RoleConfig none;
  const RoleConfig& limits = role == nullptr ? none : *role;
  const unsigned most = StricterLimit(limits.max_concurrent, policy->limits.max_per_client);
  auto place = TakePlace(request.client, most);
  if (!place) {
    return Refuse(request, {Refusal::Kind::kBusy,
                            fmt::format("{} has {} queries running: try again when one has ended",
                                        Printable(request.client.name, 128), most),
                            true});
  }
  QueryJob job;
  job.limits.packets =
      StricterLimit(request.limits.packets, StricterLimit(limits.max_packets, policy->limits.max_packets));
  job.limits.bytes =
      StricterLimit(request.limits.bytes, StricterLimit(limits.max_bytes, policy->limits.max_bytes));
  job.text = std::move(request.text);
  job.client = std::move(request.client);
  job.role = limits.name;
  job.filter = limits.filter;
  job.expression = std::move(*expression);
  job.format = request.format;
  job.grouping = request.grouping;
  job.explain = request.operation == Operation::kExplain;
  job.place = std::move(place);
  return job;
}

}  // namespace steno
