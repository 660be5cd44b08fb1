#include "capture/filter_hex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::HasSubstr;

// tcpdump -ddd arp, printed as the --filter flag wants it.
constexpr std::string_view kArp =
    "002800000000000c"
    "0015000100000806"
    "0006000000040000"
    "0006000000000000";

TEST(FilterHexTest, ReadsEveryField) {
  const auto program = ParseFilterHex(kArp);
  ASSERT_TRUE(program) << program.error().message;
  ASSERT_EQ(program->size(), 4u);
  EXPECT_EQ((*program)[0].code, BPF_LD | BPF_H | BPF_ABS);
  EXPECT_EQ((*program)[0].k, 12u);
  EXPECT_EQ((*program)[1].code, BPF_JMP | BPF_JEQ | BPF_K);
  EXPECT_EQ((*program)[1].jt, 0);
  EXPECT_EQ((*program)[1].jf, 1);
  EXPECT_EQ((*program)[1].k, 0x806u);
  EXPECT_EQ((*program)[2].k, 0x40000u);
}

TEST(FilterHexTest, AnEmptyTextIsAnEmptyProgram) { EXPECT_TRUE(ParseFilterHex("")->empty()); }

TEST(FilterHexTest, RefusalsSayWhere) {
  EXPECT_THAT(ParseFilterHex(kArp.substr(1)).error().message,
              HasSubstr("63 characters, expected a multiple of 16"));
  std::string broken(kArp);
  broken[16 + 6] = 'g';
  EXPECT_THAT(ParseFilterHex(broken).error().message, HasSubstr("'g1' at character 23"));
  EXPECT_THAT(ParseFilterHex(std::string(16 * 4097, '0')).error().message, HasSubstr("at most 4096"));
}

TEST(FilterHexTest, DirectionGoesInFrontAndKeepsTheProgram) {
  const FilterProgram arp = *ParseFilterHex(kArp);
  EXPECT_EQ(RestrictDirection(arp, Direction::kBoth).size(), 4u);
  const FilterProgram in = RestrictDirection(arp, Direction::kIn);
  ASSERT_EQ(in.size(), 7u);
  EXPECT_EQ(in[4].k, 0x806u);
  // Without a program of the user's, one that takes whole packets follows.
  EXPECT_EQ(RestrictDirection({}, Direction::kOut).size(), 4u);
}

TEST(FilterHexTest, LengthsAreLimitedByWhatTheProgramReturns) {
  const auto arp = LimitLength(*ParseFilterHex(kArp), 100);
  ASSERT_TRUE(arp);
  EXPECT_EQ((*arp)[2].k, 100u);
  EXPECT_EQ((*arp)[3].k, 0u) << "what is dropped stays dropped";
  EXPECT_EQ((*LimitLength(*ParseFilterHex(kArp), 0x50000))[2].k, 0x40000u);
  const auto all = LimitLength({}, 64);
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].k, 64u);
  // ret a
  EXPECT_THAT(LimitLength(*ParseFilterHex("0016000000000000"), 64).error().message, HasSubstr("--snaplen"));
}

}  // namespace
}  // namespace steno
