#include "query/expression.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace steno {

namespace {

using Verdict = PacketFilter::Verdict;

Verdict Told(bool yes) { return yes ? Verdict::kYes : Verdict::kNo; }

// A group of groups of the same kind is one group; a group of one is that one.
ExpressionPtr MakeGroup(NodeKind kind, std::vector<ExpressionPtr> children) {
  STENO_CHECK(!children.empty());
  if (children.size() == 1) return std::move(children[0]);
  auto group = std::make_shared<Expression>();
  group->kind = kind;
  for (ExpressionPtr& child : children) {
    if (child->kind == kind) {
      group->children.insert(group->children.end(), child->children.begin(), child->children.end());
    } else {
      group->children.push_back(std::move(child));
    }
  }
  return group;
}

TimeRange Intersection(const TimeRange& a, const TimeRange& b) {
  return {std::max(a.begin_ns, b.begin_ns), std::min(a.end_ns, b.end_ns)};
}

TimeRange Hull(const TimeRange& a, const TimeRange& b) {
  if (a.Empty()) return b;
  if (b.Empty()) return a;
  return {std::min(a.begin_ns, b.begin_ns), std::max(a.end_ns, b.end_ns)};
}

// What is outside `range`, where that is one range; else the whole of time.
TimeRange Complement(const TimeRange& range) {
  if (range.Empty()) return {};
  if (range.begin_ns == INT64_MIN) return {range.end_ns, INT64_MAX};
  if (range.end_ns == INT64_MAX) return {INT64_MIN, range.begin_ns};
  return {};
}

// From left to right, no further than needed. A filter that cannot tell ends it: neither its contrary nor an
// alternative behind it is true then, as in tcpdump.
Verdict Evaluate(const Expression& expression, const PacketHeaders& headers, const PacketView& packet) {
  const auto evaluate_until = [&](Verdict go_on) {
    for (const ExpressionPtr& child : expression.children) {
      const Verdict verdict = Evaluate(*child, headers, packet);
      if (verdict != go_on) return verdict;
    }
    return go_on;
  };
  switch (expression.kind) {
    case NodeKind::kAnd:
      return evaluate_until(Verdict::kYes);
    case NodeKind::kOr:
      return evaluate_until(Verdict::kNo);
    case NodeKind::kNot: {
      const Verdict verdict = Evaluate(*expression.children[0], headers, packet);
      return verdict == Verdict::kCannotTell ? verdict : Told(verdict == Verdict::kNo);
    }
    case NodeKind::kTerm:
      return Told(Matches(expression.term, headers));
    case NodeKind::kTime:
      return Told(expression.time.Contains(packet.time_ns));
    case NodeKind::kFilter: {
      const Verdict implied = evaluate_until(Verdict::kYes);
      return implied == Verdict::kYes ? expression.filter->Test(packet, headers) : implied;
    }
  }
  return Verdict::kNo;
}

}  // namespace

ExpressionPtr MakeAnd(std::vector<ExpressionPtr> children) {
  return MakeGroup(NodeKind::kAnd, std::move(children));
}

ExpressionPtr MakeOr(std::vector<ExpressionPtr> children) {
  return MakeGroup(NodeKind::kOr, std::move(children));
}

ExpressionPtr MakeNot(ExpressionPtr child) {
  if (child->kind == NodeKind::kNot) return child->children[0];
  auto node = std::make_shared<Expression>();
  node->kind = NodeKind::kNot;
  node->children.push_back(std::move(child));
  return node;
}

ExpressionPtr MakeTerm(const Term& term) {
  auto node = std::make_shared<Expression>();
  node->kind = NodeKind::kTerm;
  node->term = term;
  return node;
}

ExpressionPtr MakeTime(const TimeRange& range) {
  auto node = std::make_shared<Expression>();
  node->kind = NodeKind::kTime;
  node->time = range;
  return node;
}

ExpressionPtr MakePacketFilter(std::shared_ptr<const PacketFilter> filter, ExpressionPtr implied) {
  auto node = std::make_shared<Expression>();
  node->kind = NodeKind::kFilter;
  node->filter = std::move(filter);
  if (implied) node->children.push_back(std::move(implied));
  return node;
}

bool Matches(const Expression& expression, const PacketHeaders& headers, const PacketView& packet) {
  return Evaluate(expression, headers, packet) == Verdict::kYes;
}

TimeRange TimeBounds(const Expression& expression) {
  switch (expression.kind) {
    case NodeKind::kAnd: {
      TimeRange bounds;
      for (const ExpressionPtr& child : expression.children)
        bounds = Intersection(bounds, TimeBounds(*child));
      return bounds;
    }
    case NodeKind::kOr: {
      TimeRange bounds{0, 0};
      for (const ExpressionPtr& child : expression.children) bounds = Hull(bounds, TimeBounds(*child));
      return bounds;
    }
    case NodeKind::kNot:
      // Only of a bare time range are the bounds exact; the complement of anything else can reach everywhere.
      return expression.children[0]->kind == NodeKind::kTime ? Complement(expression.children[0]->time)
                                                             : TimeRange{};
    case NodeKind::kTime:
      return expression.time;
    case NodeKind::kTerm:
    case NodeKind::kFilter:
      break;
  }
  return {};
}

}  // namespace steno
