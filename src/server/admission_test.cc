#include "server/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/file.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

ClientIdentity Certificate(const std::string& name) {
  return {ClientIdentity::Kind::kCertificate, name, "192.0.2.1:1"};
}
ClientIdentity User(const std::string& name) { return {ClientIdentity::Kind::kUnixUser, name, "pid=1"}; }

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() {
    RoleConfig tier1{.name = "tier1", .certificates = {"ann"}, .users = {"ann"}, .operations = {"query"}};
    tier1.filter = "net 10.1.0.0/16";
    tier1.max_packets = 100;
    tier1.max_bytes = 1000;
    tier1.max_concurrent = 2;
    config_.roles = {tier1,
                     {.name = "monitor", .users = {"prometheus"}, .operations = {"status"}},
                     {.name = "lead", .certificates = {"*"}}};
  }
  Admission Make() { return {config_, stats_, nullptr}; }

  static std::variant<Refusal, QueryJob> Ask(Admission& admission, const ClientIdentity& client,
                                             Operation operation = Operation::kQuery,
                                             const QueryLimits& limits = {}) {
    return admission.Admit({.client = client, .operation = operation, .text = "port 80", .limits = limits},
                           WallNs());
  }
  static Refusal RefusalOf(std::variant<Refusal, QueryJob> answer) {
    if (std::holds_alternative<Refusal>(answer)) return std::get<Refusal>(answer);
    ADD_FAILURE() << "admitted";
    return {};
  }
  static QueryJob JobOf(std::variant<Refusal, QueryJob> answer) {
    if (std::holds_alternative<QueryJob>(answer)) return std::get<QueryJob>(std::move(answer));
    ADD_FAILURE() << std::get<Refusal>(answer).text;
    return {};
  }

  ServerConfig config_;
  ServerStats stats_;
};

TEST_F(AdmissionTest, WithoutRolesEverybodyMayDoEverything) {
  config_.roles.clear();
  Admission admission = Make();
  for (const auto& client : {Certificate("x"), User("y")}) {
    for (const Operation operation : {Operation::kHealth, Operation::kStatus})
      EXPECT_FALSE(admission.Check(client, operation));
    EXPECT_EQ(ToString(*JobOf(Ask(admission, client)).expression), "port 80");
    EXPECT_TRUE(JobOf(Ask(admission, client, Operation::kExplain)).explain);
  }
  EXPECT_EQ(stats_.requests_forbidden, 0u);
}

TEST_F(AdmissionTest, NamesThatAreNotAllowedMayDoNothing) {
  config_.tls.allowed_names = {"ann"};
  Admission admission = Make();
  EXPECT_THAT(admission.Check(Certificate("bob"), Operation::kHealth)->text, HasSubstr("bob is not allowed"));
  EXPECT_EQ(RefusalOf(Ask(admission, Certificate("bob"))).kind, Refusal::Kind::kForbidden);
  EXPECT_FALSE(admission.Check(Certificate("ann"), Operation::kHealth));
  EXPECT_FALSE(admission.Check(User("bob"), Operation::kHealth)) << "local users have no certificate";
  EXPECT_EQ(stats_.requests_forbidden, 2u);
}

TEST_F(AdmissionTest, TheFirstRoleThatNamesTheClientHolds) {
  Admission admission = Make();
  EXPECT_EQ(JobOf(Ask(admission, Certificate("ann"))).role, "tier1");
  EXPECT_EQ(JobOf(Ask(admission, User("ann"))).role, "tier1");
  EXPECT_EQ(JobOf(Ask(admission, Certificate("bob"))).role, "lead");
  EXPECT_THAT(RefusalOf(Ask(admission, User("bob"))).text, HasSubstr("bob has no role"));
  EXPECT_FALSE(admission.Check(User("bob"), Operation::kHealth)) << "health needs no role";
}

TEST_F(AdmissionTest, OperationsOutsideTheRoleAreRefused) {
  Admission admission = Make();
  EXPECT_THAT(RefusalOf(Ask(admission, User("ann"), Operation::kExplain)).text,
              HasSubstr("tier1 does not allow explain"));
  EXPECT_EQ(admission.Check(User("ann"), Operation::kStatus)->kind, Refusal::Kind::kForbidden);
  EXPECT_FALSE(admission.Check(User("prometheus"), Operation::kStatus));
  EXPECT_EQ(RefusalOf(Ask(admission, User("prometheus"))).kind, Refusal::Kind::kForbidden);
  EXPECT_FALSE(admission.Check(Certificate("bob"), Operation::kStatus)) << "no list: everything";
}

TEST_F(AdmissionTest, TheRolesFilterIsPartOfTheQuery) {
  Admission admission = Make();
  const QueryJob job =
      JobOf(admission.Admit({.client = User("ann"), .text = "port 80 or port 81"}, WallNs()));
  EXPECT_EQ(ToString(*job.expression), "(net 10.1.0.0-10.1.255.255 and (port 80 or port 81))");
  EXPECT_EQ(job.text, "port 80 or port 81");
  EXPECT_EQ(job.filter, "net 10.1.0.0/16");
}

TEST_F(AdmissionTest, TheSmallestLimitHolds) {
  config_.query.max_packets = 50;
  Admission admission = Make();
  const auto limits = [&](const ClientIdentity& client, const QueryLimits& asked) {
    const QueryLimits given = JobOf(Ask(admission, client, Operation::kQuery, asked)).limits;
    return std::pair(given.packets, given.bytes);
  };
  EXPECT_EQ(limits(User("ann"), {}), std::pair(uint64_t{50}, uint64_t{1000}));
  EXPECT_EQ(limits(User("ann"), {7, 2000}), std::pair(uint64_t{7}, uint64_t{1000}));
  EXPECT_EQ(limits(Certificate("bob"), {80, 0}), std::pair(uint64_t{50}, uint64_t{0}));
}

TEST_F(AdmissionTest, AClientHasSoManyQueriesAtATime) {
  Admission admission = Make();
  QueryJob first = JobOf(Ask(admission, User("ann")));
  const QueryJob second = JobOf(Ask(admission, User("ann")));
  const Refusal refusal = RefusalOf(Ask(admission, User("ann")));
  EXPECT_EQ(refusal.kind, Refusal::Kind::kBusy);
  EXPECT_TRUE(refusal.of_client);
  JobOf(Ask(admission, Certificate("ann")));  // another client of the same role
  first = {};
  JobOf(Ask(admission, User("ann")));
  EXPECT_EQ(stats_.queries_refused, 1u);
}

TEST_F(AdmissionTest, TooManyWaitingQueriesAreRefused) {
  config_.query.max_waiting = 3;
  config_.query.max_concurrent = 2;
  Admission admission = Make();
  stats_.queries_waiting = 5;
  const Refusal refusal = RefusalOf(Ask(admission, Certificate("bob")));
  EXPECT_EQ(refusal.kind, Refusal::Kind::kBusy);
  EXPECT_FALSE(refusal.of_client);
  stats_.queries_waiting = 4;
  JobOf(Ask(admission, Certificate("bob")));
}

TEST_F(AdmissionTest, AnotherConfigurationHoldsForWhatComesAfter) {
  Admission admission = Make();
  const QueryJob before = JobOf(Ask(admission, User("ann")));
  config_.roles.clear();
  admission.Reconfigure(config_);
  EXPECT_EQ(JobOf(Ask(admission, User("ann"))).filter, "");
  EXPECT_EQ(before.filter, "net 10.1.0.0/16");
}

TEST_F(AdmissionTest, WrongQueriesAreToldAndCounted) {
  Admission admission = Make();
  const Refusal refusal = RefusalOf(admission.Admit({.client = User("ann"), .text = "port 99999"}, WallNs()));
  EXPECT_EQ(refusal.kind, Refusal::Kind::kInvalid);
  EXPECT_EQ(refusal.text, "could not parse query: column 6: port 99999: a port is 0..65535");
  EXPECT_EQ(stats_.queries_invalid, 1u);
}

TEST_F(AdmissionTest, RefusalsAreAudited) {
  const testing::TempDir dir;
  auto audit = AuditLog::Open(dir.path() + "/audit.json", stats_);
  ASSERT_TRUE(audit) << audit.error().message;
  Admission admission(config_, stats_, audit->get());
  RefusalOf(admission.Admit({.client = User("ann"), .text = "po\xffrt\n"}, WallNs()));
  admission.Check(User("bob"), Operation::kStatus);
  (*audit)->Flush();
  const auto text = ReadTextFile(dir.path() + "/audit.json", 1 << 20);
  ASSERT_TRUE(text);
  const auto first = nlohmann::json::parse(text->substr(0, text->find('\n')));
  EXPECT_EQ(first["outcome"], "refused");
  EXPECT_EQ(first["role"], "tier1");
  EXPECT_EQ(first["client"]["kind"], "user");
  EXPECT_EQ(first["query"], "po\xEF\xBF\xBDrt\n") << "not UTF-8: replaced";
  const auto second = nlohmann::json::parse(text->substr(text->find('\n')));
  EXPECT_EQ(second["operation"], "status");
  EXPECT_EQ(second["reason"], "bob has no role");
}

}  // namespace
}  // namespace steno
