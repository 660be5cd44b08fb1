// ToString(Expression): text that the pcap-filter syntax reads back into the same tree.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "query/expression.h"
#include "query/time_parse.h"

namespace steno {

namespace {

// An address names its family itself, so of the layers only IP or ARP is left to say: "host 192.0.2.1" looks
// into IP and ARP, "ip host" into IP only; for IPv6 there is no difference.
std::string AddressText(Term term) {
  const bool ip = (term.layer_kinds & kLayerBitsIp) != 0;
  const bool arp = (term.layer_kinds & kLayerBitArp) != 0;
  if (ip && (arp || term.addresses.first.family == 6)) {
    term.layer_kinds = kLayerBitsIp;
  } else if (ip) {
    term.layer_kinds = kLayerBitIpv4;
  }
  return ToString(term);
}

std::string TermText(const Term& term) {
  if (term.kind == TermKind::kAddress) return AddressText(term);
  const std::string text = ToString(term);
  return term.kind == TermKind::kLayer && text.find(' ') != std::string::npos ? "(" + text + ")" : text;
}

std::string TimeText(const TimeRange& range) {
  const std::string after = "after " + internal::FormatTime(range.begin_ns);
  const std::string before = "before " + internal::FormatTime(range.end_ns);
  if (range.end_ns == INT64_MAX) return after;
  if (range.begin_ns == INT64_MIN) return before;
  return fmt::format("({} and {})", after, before);
}

}  // namespace

std::string ToString(const Expression& expression) {
  if (expression.kind == NodeKind::kFilter) return expression.filter->text();
  std::vector<std::string> parts;
  for (const ExpressionPtr& child : expression.children) parts.push_back(ToString(*child));
  switch (expression.kind) {
    case NodeKind::kAnd:
      return fmt::format("({})", fmt::join(parts, " and "));
    case NodeKind::kOr:
      return fmt::format("({})", fmt::join(parts, " or "));
    case NodeKind::kNot:
      return "not " + parts[0];
    case NodeKind::kTerm:
      return TermText(expression.term);
    case NodeKind::kTime:
      return TimeText(expression.time);
    case NodeKind::kFilter:
      break;
  }
  return "";
}

}  // namespace steno
