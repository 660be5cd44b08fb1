#include "packet/plain_key.h"

#include <gtest/gtest.h>

#include <random>

#include "testing/random_frames.h"

namespace steno {
namespace {

// Of the numbers that random frames have, so that some terms match.
Term RandomTerm(std::mt19937_64& random, const Layer& seen) {
  const auto some = [&](uint32_t wanted, uint32_t most) {
    return random() % 2 == 0 ? wanted : static_cast<uint32_t>(random() % (most + 1));
  };
  Term term;
  term.kind = static_cast<TermKind>(random() % 8);
  term.side = static_cast<Side>(random() % 4);
  const uint32_t most = term.kind == TermKind::kProtocol ? 255 : 65535;
  term.first = some(term.kind == TermKind::kProtocol ? seen.protocol : seen.dst_port, most);
  term.last = random() % 2 == 0 ? term.first : some(seen.src_port, most);
  if (term.kind == TermKind::kPort && random() % 3 == 0) term.protocol = seen.protocol;
  term.addresses = {seen.src, random() % 2 == 0 ? seen.src : seen.dst};
  if (random() % 3 == 0) term.addresses = {Address::V4(static_cast<uint32_t>(random())), Address::V6(1, 2)};
  return term;
}

// Whatever is ruled out is what the parsed flow says no to, and where that is for want of such an address,
// port or protocol, it is ruled out.
TEST(PlainKey, RulesOutWhatTheParsedFlowDoes) {
  std::mt19937_64 random{3};
  int ruled_out = 0;
  int kept = 0;
  PacketHeaders last{};
  for (int i = 0; i < 200'000; ++i) {
    const testing::RandomFrame frame = testing::MakeRandomFrame(random);
    FlowKey key;
    FrameToFlowKey(frame.bytes, frame.tag, key);
    PacketHeaders flow;
    if (key.kind == FlowKind::kGeneral || !ParseFlowKey(key.kind, key.view(), flow)) continue;
    const Term term = RandomTerm(random, i % 2 == 0 ? flow.layers[0] : last.layers[0]);
    const bool out = PlainKeyFilter(term).RulesOut(key.kind, key.bytes.data());
    if (out) {
      ASSERT_EQ(MatchesFlow(term, flow), Tri::kNo) << ToString(term);
    }
    out ? ++ruled_out : ++kept;
    last = flow;
  }
  EXPECT_GT(ruled_out, 5'000);
  EXPECT_GT(kept, 5'000);
}

TEST(PlainKey, RulesOutForeignNumbersAndKeepsBrokenKeys) {
  std::mt19937_64 random{4};
  const Term address{.kind = TermKind::kAddress, .addresses = {Address::V6(~0ull, 1), Address::V6(~0ull, 2)}};
  int keys = 0;
  while (keys < 1000) {
    const testing::RandomFrame frame = testing::MakeRandomFrame(random);
    FlowKey key;
    FrameToFlowKey(frame.bytes, frame.tag, key);
    if (key.kind == FlowKind::kGeneral) continue;
    ++keys;
    EXPECT_TRUE(PlainKeyFilter(address).RulesOut(key.kind, key.bytes.data()));
    key.bytes[key.size - 3u] |= 0x80;  // a flag that there is none of
    EXPECT_FALSE(PlainKeyFilter(address).RulesOut(key.kind, key.bytes.data()));
  }
}

}  // namespace
}  // namespace steno
