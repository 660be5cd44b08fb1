#include "capture/user_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "testing/packet_builder.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using testing::PacketBuilder;

// As `tcpdump -y EN10MB -ddd` compiles it.
FilterProgram Compile(const char* expression) {
  pcap_t* dead = ::pcap_open_dead(DLT_EN10MB, 262144);
  bpf_program compiled{};
  EXPECT_EQ(::pcap_compile(dead, &compiled, expression, 1, PCAP_NETMASK_UNKNOWN), 0) << expression;
  FilterProgram program;
  for (unsigned i = 0; i < compiled.bf_len; ++i) {
    const bpf_insn& from = compiled.bf_insns[i];
    program.push_back({.code = from.code, .jt = from.jt, .jf = from.jf, .k = from.k});
  }
  ::pcap_freecode(&compiled);
  ::pcap_close(dead);
  return program;
}

bool Accepts(const char* expression, const std::vector<uint8_t>& frame) {
  const auto filter = UserFilter::Make(Compile(expression));
  EXPECT_TRUE(filter) << filter.error().message;
  return filter->Apply(frame, static_cast<uint32_t>(frame.size())).has_value();
}

TEST(UserFilterTest, DecidesAsLibpcapDoes) {
  const auto web = PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Tcp(1234, 80).Build();
  const auto tagged = PacketBuilder().Ethernet().Vlan(5).Ipv4("10.0.0.1", "10.0.0.2").Udp(53, 53).Build();
  EXPECT_TRUE(Accepts("tcp port 80", web));
  EXPECT_FALSE(Accepts("not port 80", web));
  EXPECT_FALSE(Accepts("tcp port 80", tagged));
  EXPECT_TRUE(Accepts("vlan 5 and udp", tagged)) << "a tag in the frame is found there";
  EXPECT_FALSE(Accepts("vlan 6", tagged));
}

TEST(UserFilterTest, AnEmptyProgramKeepsEverythingAndAReturnCuts) {
  const std::vector<uint8_t> frame(100, 7);
  EXPECT_EQ(UserFilter::Make({})->Apply(frame, 100)->size(), 100u);
  EXPECT_EQ(UserFilter::Make({})->Apply({}, 0)->size(), 0u);
  const auto cut = UserFilter::Make({{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 60}});
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->Apply(frame, 100)->size(), 60u);
  EXPECT_EQ(cut->Apply(std::span(frame).first(10), 100)->size(), 10u);
}

TEST(UserFilterTest, RefusesWhatItCannotRun) {
  const auto unsound = UserFilter::Make({{.code = BPF_JMP | BPF_JA, .jt = 0, .jf = 0, .k = 5}});
  ASSERT_FALSE(unsound);
  EXPECT_THAT(unsound.error().message, HasSubstr("no sound BPF program"));
  const auto kernel_only = UserFilter::Make(
      RestrictDirection({{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 60}}, Direction::kIn));
  ASSERT_FALSE(kernel_only);
  EXPECT_THAT(kernel_only.error().message, HasSubstr("only the kernel knows"));
}

}  // namespace
}  // namespace steno
