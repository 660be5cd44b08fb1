// Expression: the tree between the query languages and their execution. Immutable once parsed.
//
// Nodes: and, or, not; a term about the packet's headers; a half-open time range; a filter over the packet's
// bytes, of which flows know only what it implies.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "packet/term.h"
#include "query/packet_filter.h"
#include "storage/packet_view.h"

namespace steno {

enum class NodeKind : uint8_t { kAnd, kOr, kNot, kTerm, kTime, kFilter };

// [begin_ns, end_ns) since the epoch; INT64_MIN / INT64_MAX where open.
struct TimeRange {
  int64_t begin_ns = INT64_MIN;
  int64_t end_ns = INT64_MAX;

  [[nodiscard]] bool Contains(int64_t time_ns) const { return begin_ns <= time_ns && time_ns < end_ns; }
  [[nodiscard]] bool Empty() const { return begin_ns >= end_ns; }
  bool operator==(const TimeRange&) const = default;
};

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

struct Expression {
  NodeKind kind = NodeKind::kAnd;
  // kAnd, kOr: two or more; kNot: one; kFilter: none, or one that belongs to it: a packet must fulfil both
  // (that costs no answer, as the filter's packets all have what the child asks for, and the index knows it).
  std::vector<ExpressionPtr> children;
  Term term;                                   // kTerm
  TimeRange time;                              // kTime
  std::shared_ptr<const PacketFilter> filter;  // kFilter
};

ExpressionPtr MakeAnd(std::vector<ExpressionPtr> children);
ExpressionPtr MakeOr(std::vector<ExpressionPtr> children);
ExpressionPtr MakeNot(ExpressionPtr child);
ExpressionPtr MakeTerm(const Term& term);
ExpressionPtr MakeTime(const TimeRange& range);
// `implied` may be null.
ExpressionPtr MakePacketFilter(std::shared_ptr<const PacketFilter> filter, ExpressionPtr implied);

// The exact answer for one packet; `headers`: its own, from Decode().
bool Matches(const Expression& expression, const PacketHeaders& headers, const PacketView& packet);

// A range outside which no packet can match (the whole of time if the expression does not bound it).
TimeRange TimeBounds(const Expression& expression);

// Fully parenthesised text, for plans, logs and tests.
std::string ToString(const Expression& expression);

}  // namespace steno
