#include "capture/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <functional>
#include <thread>

namespace steno {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr int kNotInstalled = 99;

// The wait status of a child that runs `body` behind the filter.
int Behind(SeccompMode mode, const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool ready = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && InstallSystemCallFilter(mode);
    ::_exit(ready ? body() : kNotInstalled);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

int Execute() {
  ::execl("/bin/true", "true", nullptr);
  return 1;
}

// errno of making an io_uring; 0 on success.
int MakeRing() { return ::syscall(SYS_io_uring_setup, 1, nullptr) < 0 ? errno : 0; }

TEST(SandboxTest, KillModeEndsAProcessThatStartsAnother) {
  if (kSanitized) GTEST_SKIP() << "sanitizer builds have no filter";
  const int status = Behind(SeccompMode::kKill, Execute);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

TEST(SandboxTest, OtherModesDoNot) {
  for (const SeccompMode mode : {SeccompMode::kNone, SeccompMode::kTrace}) {
    const int status = Behind(mode, Execute);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

TEST(SandboxTest, UnknownCallsAndNewRingsFailAsOnAKernelWithoutThem) {
  if (kSanitized) GTEST_SKIP() << "sanitizer builds have no filter";
  const int status = Behind(SeccompMode::kKill, [] {
    if (MakeRing() != ENOSYS) return 1;
    return ::syscall(100'000) == -1 && errno == ENOSYS ? 0 : 2;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(SandboxTest, ThreadsCanStillBeStartedButNoProcesses) {
  if (kSanitized) GTEST_SKIP() << "sanitizer builds have no filter";
  const int status = Behind(SeccompMode::kKill, [] {
    int ran = 0;
    std::thread([&ran] { ran = 1; }).join();
    if (ran != 1) return 1;
    return ::fork() == -1 && errno == ENOSYS ? 0 : 2;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(SandboxTest, ResolvesNamesAndNumbers) {
  const auto root = ResolveIdentity("root", "");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->user, 0u);
  EXPECT_EQ(root->group, 0u) << "a user's own group";
  const auto numbers = ResolveIdentity("4242", "4243");
  ASSERT_TRUE(numbers);
  EXPECT_EQ(numbers->user, 4242u);
  EXPECT_EQ(numbers->group, 4243u);
  EXPECT_TRUE(numbers->user_name.empty());
  const auto nothing = ResolveIdentity("", "");
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->user || nothing->group);
  EXPECT_THAT(ResolveIdentity("no-such-user", "").error().message,
              ::testing::HasSubstr("--uid=no-such-user"));
  EXPECT_THAT(ResolveIdentity("", "no-such-group").error().message,
              ::testing::HasSubstr("--gid=no-such-group"));
}

TEST(SandboxTest, AnotherUserKeepsNoPrivileges) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto identity = ResolveIdentity("4242", "4243");
    if (!identity || !DropPrivileges(*identity)) ::_exit(1);
    if (::getuid() != 4242 || ::getgid() != 4243 || ::getgroups(0, nullptr) != 0) ::_exit(2);
    if (::setuid(0) == 0) ::_exit(3);
    ::_exit(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace steno
