// Admission: decides what a client may ask for, and makes a query's job of its text. The one way to a query,
// whichever protocol it comes by.
//
// Thread-safe. A client is refused everything if Tls.AllowedNames does not hold its certificate's name. If
// the configuration has roles, it may do what the first role that names it allows, and nothing without one;
// the role's filter is and-ed to its queries, and of all limits (the request's, the role's, the
// configuration's) the smallest holds. Every refusal is counted, logged, and goes into the audit log.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "query/query_limits.h"
#include "query/result_encoder.h"
#include "server/audit_log.h"
#include "server/client_identity.h"
#include "server/config.h"
#include "server/query_service.h"
#include "server/server_stats.h"

namespace steno {

enum class Operation {
  kHealth,  // nothing but whether the server works: every client that is known may ask
  kStatus,  // statistics, metrics, the configuration
  kQuery,
  kExplain,
};

const char* ToString(Operation operation);

struct QueryRequest {
  ClientIdentity client{};
  Operation operation = Operation::kQuery;  // kQuery or kExplain
  std::string text{};
  QueryLimits limits{};
  ResultFormat format = ResultFormat::kPcap;
  Grouping grouping{};
};

struct Refusal {
  enum class Kind {
    kInvalid,    // the request is wrong
    kForbidden,  // for this client
    kBusy,       // too many queries of this client, or of all: later it may be admitted
  };
  Kind kind = Kind::kInvalid;
  std::string text;        // a sentence for the client, printable
  bool of_client = false;  // kBusy: it is this client who has too many
};

class Admission {
 public:
  // `audit` may be null; both are borrowed.
  Admission(const ServerConfig& config, ServerStats& stats, AuditLog* audit);

  // Takes the roles, names and limits of another configuration; queries that run keep theirs.
  void Reconfigure(const ServerConfig& config);

  // Nothing: the client may do this.
  std::optional<Refusal> Check(const ClientIdentity& client, Operation operation);
  // `now_ns`: wall clock, what relative times count back from.
  std::variant<Refusal, QueryJob> Admit(QueryRequest request, int64_t now_ns);
  // A request that is refused for another reason than those above, so that it is told like these.
  Refusal Refuse(const QueryRequest& request, Refusal refusal);

 private:
  struct Policy {
    std::vector<std::string> allowed_names;
    std::vector<RoleConfig> roles;
    QueryConfig limits;
  };
  using Queries = std::map<std::string, unsigned>;

  std::shared_ptr<const Policy> policy() const;
  std::optional<Refusal> CheckRole(const Policy& policy, const RoleConfig* role, const ClientIdentity& client,
                                   Operation operation) const;
  Result<ExpressionPtr> Parse(const QueryRequest& request, const RoleConfig* role, int64_t now_ns) const;
  std::shared_ptr<void> TakePlace(const ClientIdentity& client, unsigned most);

  ServerStats& stats_;
  AuditLog* const audit_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const Policy> policy_;
  // Queries of each client, running and waiting; shared with the jobs, which may outlive this.
  struct Places {
    std::mutex mutex;
    Queries queries;
  };
  const std::shared_ptr<Places> places_ = std::make_shared<Places>();
};

}  // namespace steno
