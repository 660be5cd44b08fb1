#include "capture/numa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/mapping.h"

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(NumaTest, ReadsListsOfCpus) {
  EXPECT_THAT(ParseCpuList("0-2,8\n"), ElementsAre(0, 1, 2, 8));
  EXPECT_THAT(ParseCpuList("5"), ElementsAre(5));
  EXPECT_THAT(ParseCpuList("\n"), IsEmpty());
  EXPECT_THAT(ParseCpuList("3-1,x"), IsEmpty());
}

TEST(NumaTest, NodesAreFoundOrRefused) {
  EXPECT_EQ(*FindNumaNode("none", "lo"), std::nullopt);
  EXPECT_EQ(*FindNumaNode("auto", "lo"), std::nullopt) << "loopback has no device";
  for (const char* wrong : {"1023", "-1", "1x", "", "99999999999"}) {
    const auto node = FindNumaNode(wrong, "lo");
    ASSERT_FALSE(node) << wrong;
    EXPECT_THAT(node.error().message, HasSubstr("expected auto, none or one of the nodes"));
  }
  if (!std::filesystem::exists("/sys/devices/system/node/node0")) GTEST_SKIP() << "a kernel without NUMA";
  EXPECT_EQ(*FindNumaNode("0", "lo"), 0u);
}

TEST(NumaTest, ThreadsAndMemoryGoToTheNode) {
  if (!std::filesystem::exists("/sys/devices/system/node/node0")) GTEST_SKIP() << "a kernel without NUMA";
  std::thread([] {
    StayOnNumaNode(0);
    int policy = -1;
    unsigned long nodes[17] = {};
    ASSERT_EQ(::syscall(SYS_get_mempolicy, &policy, nodes, 1025UL, nullptr, 0UL), 0);
    EXPECT_EQ(policy, MPOL_PREFERRED);
    EXPECT_EQ(nodes[0], 1u);
    std::thread([] {  // inherits it
      int inherited = -1;
      EXPECT_EQ(::syscall(SYS_get_mempolicy, &inherited, nullptr, 0UL, nullptr, 0UL), 0);
      EXPECT_EQ(inherited, MPOL_PREFERRED);
    })
        .join();
    auto memory = Mapping::Anonymous(1 << 20);
    ASSERT_TRUE(memory);
    PlaceOnNumaNode(0, memory->bytes());
    policy = -1;
    ASSERT_EQ(::syscall(SYS_get_mempolicy, &policy, nullptr, 0UL, memory->data(), MPOL_F_ADDR), 0);
    EXPECT_EQ(policy, MPOL_PREFERRED);
  }).join();
}

}  // namespace
}  // namespace steno
