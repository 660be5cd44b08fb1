#include "query/expression.h"

#include <gmock/gmock.h>

#include "query/parse.h"
#include "query/random_query_test.h"

namespace steno {
namespace {

ExpressionPtr Port(uint32_t number) {
  Term term;
  term.kind = TermKind::kPort;
  term.first = term.last = number;
  return MakeTerm(term);
}

ExpressionPtr After(int64_t time) { return MakeTime({time, INT64_MAX}); }
ExpressionPtr Before(int64_t time) { return MakeTime({INT64_MIN, time}); }

// Trees are equal if kinds, terms and times are, child by child.
bool Equal(const Expression& a, const Expression& b) {
  return a.kind == b.kind && (a.kind != NodeKind::kTerm || a.term == b.term) && a.time == b.time &&
         std::ranges::equal(a.children, b.children,
                            [](const ExpressionPtr& x, const ExpressionPtr& y) { return Equal(*x, *y); });
}

TEST(Expression, GroupsFlattenAndSingleChildrenStandAlone) {
  EXPECT_EQ(MakeAnd({Port(1)})->kind, NodeKind::kTerm);
  const auto flat = MakeAnd({MakeAnd({Port(1), Port(2)}), Port(3)});
  EXPECT_EQ(flat->children.size(), 3u);
  EXPECT_EQ(MakeOr({flat, Port(4)})->children.size(), 2u);
  const auto port = Port(1);
  EXPECT_EQ(MakeNot(MakeNot(port)), port);
}

TEST(Expression, TimeBounds) {
  const auto both = MakeAnd({After(10), Before(20)});
  EXPECT_EQ(TimeBounds(*both), (TimeRange{10, 20}));
  EXPECT_EQ(TimeBounds(*MakeAnd({After(10), Port(1)})), (TimeRange{10, INT64_MAX}));
  EXPECT_EQ(TimeBounds(*MakeOr({After(10), Port(1)})), TimeRange{});
  EXPECT_EQ(TimeBounds(*MakeOr({both, MakeAnd({After(30), Before(40)})})), (TimeRange{10, 40}));
  EXPECT_EQ(TimeBounds(*MakeOr({both, MakeAnd({After(40), Before(30)})})), (TimeRange{10, 20}));
  EXPECT_EQ(TimeBounds(*MakeNot(After(10))), (TimeRange{INT64_MIN, 10}));
  EXPECT_EQ(TimeBounds(*MakeNot(Before(10))), (TimeRange{10, INT64_MAX}));
  EXPECT_EQ(TimeBounds(*MakeNot(MakeTime({10, 20}))), TimeRange{});
  EXPECT_EQ(TimeBounds(*MakeNot(both)), TimeRange{});
  EXPECT_EQ(TimeBounds(*Port(1)), TimeRange{});
  EXPECT_TRUE(TimeBounds(*MakeNot(MakeTime({}))).Empty());
  EXPECT_TRUE(TimeBounds(*MakeAnd({After(20), Before(10)})).Empty());
}

TEST(Expression, TextOfWhatNoQuerySays) {
  EXPECT_EQ(ToString(*MakeTime({0, 1'000'000'000})),
            "(after 1970-01-01T00:00:00Z and before 1970-01-01T00:00:01Z)");
  const auto whole = ParseQuery(ToString(*MakeTime({})), 0);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ((*whole)->time, TimeRange{});
  Term layers;
  layers.kind = TermKind::kLayer;
  EXPECT_EQ(ToString(*MakeNot(MakeTerm(layers))), "not (ip or ip6)");
}

// An evaluation written the other way round: from what the packet has to whether the term names it.
bool EvaluateEnds(Side side, bool source, bool destination) {
  if (side == Side::kSource) return source;
  if (side == Side::kDestination) return destination;
  return side == Side::kBoth ? source && destination : source || destination;
}

bool EvaluateTerm(const Term& term, const PacketHeaders& headers) {
  const auto in = [&](uint32_t number) { return number >= term.first && number <= term.last; };
  bool found = term.kind == TermKind::kEtherType && in(headers.ether_type);
  if (term.kind == TermKind::kMac && headers.has_macs) {
    found = EvaluateEnds(term.side, headers.src_mac == term.mac, headers.dst_mac == term.mac);
  }
  for (int i = 0; i < headers.vlan_count; ++i) found |= term.kind == TermKind::kVlan && in(headers.vlans[i]);
  for (int i = 0; i < headers.mpls_count; ++i)
    found |= term.kind == TermKind::kMpls && in(headers.mpls_labels[i]);
  for (int i = 0; i < headers.layer_count; ++i) {
    const Layer& layer = headers.layers[i];
    const bool arp = layer.kind == LayerKind::kArp;
    const int bit = arp ? kLayerBitArp : layer.kind == LayerKind::kIpv4 ? kLayerBitIpv4 : kLayerBitIpv6;
    if ((term.layer_kinds & bit) == 0) continue;
    const auto inside = [&](const Address& address) {
      return !(address < term.addresses.first) && !(term.addresses.last < address);
    };
    if (term.kind == TermKind::kLayer) found = true;
    if (term.kind == TermKind::kProtocol && !arp) found |= in(layer.protocol);
    if (term.kind == TermKind::kAddress)
      found |= EvaluateEnds(term.side, inside(layer.src), inside(layer.dst));
    if (term.kind == TermKind::kPort && layer.has_ports &&
        (term.protocol < 0 || term.protocol == layer.protocol)) {
      found |= EvaluateEnds(term.side, in(layer.src_port), in(layer.dst_port));
    }
  }
  return found;
}

bool Evaluate(const Expression& expression, const PacketHeaders& headers, int64_t time) {
  size_t yes = 0;
  for (const auto& child : expression.children) yes += Evaluate(*child, headers, time) ? 1 : 0;
  switch (expression.kind) {
    case NodeKind::kAnd:
      return yes == expression.children.size();
    case NodeKind::kOr:
      return yes > 0;
    case NodeKind::kNot:
      return yes == 0;
    case NodeKind::kTerm:
      return EvaluateTerm(expression.term, headers);
    case NodeKind::kTime:
      return time >= expression.time.begin_ns && time < expression.time.end_ns;
    case NodeKind::kFilter:
      break;  // MakeRandomQuery() makes none
  }
  return false;
}

class ExpressionProperty : public ::testing::Test {
 protected:
  ExpressionProperty() : seed_(std::random_device{}()), random_(seed_) {}

  uint64_t seed_;
  std::mt19937_64 random_;
};

TEST_F(ExpressionProperty, MatchesAgreesWithAPlainEvaluationAndStaysInsideTheTimeBounds) {
  unsigned matched = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto expression = testing::MakeRandomQuery(random_, 1 + i % 6);
    const TimeRange bounds = TimeBounds(*expression);
    for (int j = 0; j < 50; ++j) {
      const PacketHeaders headers = testing::MakeRandomHeaders(random_);
      const auto time = static_cast<int64_t>(random_() % (testing::kRandomTimeEnd + 2)) - 1;
      PacketView packet;
      packet.time_ns = time;
      const bool matches = Matches(*expression, headers, packet);
      ASSERT_EQ(matches, Evaluate(*expression, headers, time))
          << "seed " << seed_ << ": " << ToString(*expression);
      if (!matches) continue;
      ++matched;
      ASSERT_TRUE(bounds.Contains(time))
          << "seed " << seed_ << ": " << ToString(*expression) << " at " << time;
    }
  }
  // The pools are such that a good part of the packets match; otherwise nothing was tested.
  EXPECT_GT(matched, 3000u * 50 / 20);
}

TEST_F(ExpressionProperty, TextIsReadBackIntoTheSameTree) {
  for (int i = 0; i < 10000; ++i) {
    const auto expression = testing::MakeRandomQuery(random_, 1 + i % 8);
    const std::string text = ToString(*expression);
    const auto parsed = ParseQuery(text, 0);
    ASSERT_TRUE(parsed.has_value()) << "seed " << seed_ << ": " << text << "\n"
                                    << QueryErrorText(parsed.error());
    ASSERT_TRUE(Equal(*expression, **parsed)) << "seed " << seed_ << ": " << text << "\n"
                                              << ToString(**parsed);
  }
}

// Random words and fragments of queries: never a crash, and an error always has its place.
TEST_F(ExpressionProperty, AnyTextIsAQueryOrAnErrorWithAColumn) {
  static const std::vector<std::string> pieces = {"host",  "net",       "port",
                                                  "and",   "or",        "not",
                                                  "(",     ")",         "src",
                                                  "dst",   "1.2.3.4",   "/",
                                                  "8",     "80",        "mask",
                                                  "ip",    "tcp",       "ip6",
                                                  "vlan",  "mpls",      "proto",
                                                  "after", "3h",        "ago",
                                                  "=",     "|",         "last",
                                                  "-",     "ether",     "::1",
                                                  "1-2",   "arp",       "\xff",
                                                  "&&",    "||",        "!",
                                                  "[",     "255.0.0.0", "2024-01-01T00:00:00Z"};
  unsigned valid = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text;
    const auto count = 1 + random_() % 8;
    for (uint64_t j = 0; j < count; ++j) {
      text += pieces[random_() % pieces.size()];
      if (random_() % 4 != 0) text += ' ';
    }
    const auto parsed = ParseQuery(text, 0);
    if (parsed) {
      ++valid;
      const auto again = ParseQuery(ToString(**parsed), 0);
      ASSERT_TRUE(again.has_value()) << "seed " << seed_ << ": " << text;
      ASSERT_EQ(ToString(**again), ToString(**parsed)) << "seed " << seed_ << ": " << text;
    } else {
      ASSERT_EQ(parsed.error().code, ErrorCode::kInvalid) << text;
      ASSERT_GE(parsed.error().column, 1u) << "seed " << seed_ << ": " << text;
      ASSERT_LE(parsed.error().column, text.size() + 1) << "seed " << seed_ << ": " << text;
    }
  }
  EXPECT_GT(valid, 500u);
}

}  // namespace
}  // namespace steno
