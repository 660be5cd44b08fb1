// The lists of InstallSystemCallFilter(). Names that an architecture or the installed libseccomp does not
// know are skipped: a list for all of them is simpler than one for each.
#include <fmt/format.h>
#include <sched.h>
#include <seccomp.h>

#include <array>
#include <memory>

#include "base/log.h"
#include "capture/sandbox.h"

namespace steno {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// clang-format off
constexpr auto kAllowed = std::to_array<const char*>({
    // files
    "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
    "open", "openat", "openat2", "close", "close_range", "stat", "fstat", "lstat", "newfstatat",
    "fstatat64", "statx", "statfs", "fstatfs", "lseek", "_llseek", "fsync", "fdatasync",
    "sync_file_range", "truncate", "ftruncate", "fallocate", "fadvise64", "rename", "renameat",
    "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "getdents", "getdents64",
    "access", "faccessat", "faccessat2", "readlink", "readlinkat", "flock", "fcntl", "fcntl64", "ioctl",
    "dup", "dup2", "dup3", "utimensat", "futimesat", "getcwd", "umask", "fchmod", "fchmodat", "pipe",
    "pipe2", "memfd_create", "copy_file_range",
    // asynchronous writes, with queues that exist already
    "io_uring_enter", "io_uring_register", "io_submit", "io_getevents", "io_pgetevents", "io_cancel",
    "io_destroy",
    // memory
    "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "mlock2", "munlock",
    "msync", "membarrier", "mincore", "get_mempolicy", "mbind", "set_mempolicy",
    // threads, time, scheduling
    "set_robust_list", "get_robust_list", "set_tid_address", "rseq", "futex", "futex_time64",
    "futex_waitv", "exit", "exit_group", "sched_yield", "sched_getaffinity", "sched_setaffinity",
    "sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "getpriority", "setpriority", "ioprio_set", "ioprio_get", "getcpu", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time", "times", "getrusage",
    "prctl", "arch_prctl",
    // waiting and signals
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll",
    "ppoll", "select", "_newselect", "pselect6", "eventfd", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "tgkill", "tkill",
    "restart_syscall", "pause",
    // about oneself
    "getpid", "gettid", "getppid", "getpgrp", "getuid", "getgid", "geteuid", "getegid", "getresuid",
    "getresgid", "getgroups", "getrlimit", "ugetrlimit", "prlimit64", "capget", "uname", "sysinfo",
    "getrandom",
    // the packet socket, the log
    "socket", "connect", "bind", "getsockname", "getpeername", "getsockopt", "setsockopt", "sendto",
    "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "socketpair",
});
// clang-format on

// clang-format off
constexpr auto kDeadly = std::to_array<const char*>({
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "mount",
    "umount2", "move_mount", "fsopen", "pivot_root", "chroot", "setns", "unshare", "bpf",
    "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff", "iopl", "ioperm",
    "open_by_handle_at", "personality", "acct", "quotactl", "setuid", "setgid", "setreuid", "setregid",
    "setresuid", "setresgid", "capset",
});
// clang-format on

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

Status AddRules(void* filter, uint32_t action, std::span<const char* const> names) {
  for (const char* name : names) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;
    // Negative numbers stand for calls that this architecture lacks.
    const int added = seccomp_rule_add(filter, action, number, 0);
    if (added != 0 && number >= 0) {
      return Fail(Error::System(fmt::format("system call filter: add a rule for {}", name), -added));
    }
  }
  return {};
}

}  // namespace

Status InstallSystemCallFilter(SeccompMode mode) {
  if (mode == SeccompMode::kNone) return {};
  if (kSanitized) {
    STENO_INFO("no system call filter: this is a sanitizer build");
    return {};
  }
  const bool trace = mode == SeccompMode::kTrace;
  const Filter filter(seccomp_init(trace ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS)), &seccomp_release);
  if (!filter) return Fail(Error::Unsupported("libseccomp makes no system call filter (try --seccomp=none)"));
  // The filter holds for threads that exist already, too (those of the pwrite engine).
  static_cast<void>(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1));
  STENO_CHECK_OK(AddRules(filter.get(), SCMP_ACT_ALLOW, kAllowed));
  // Threads, not processes. Clone3 hides its flags from filters; without it, C libraries take clone.
  const int threads = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  if (threads != 0) return Fail(Error::System("system call filter: add a rule for threads", -threads));
  if (!trace) STENO_CHECK_OK(AddRules(filter.get(), SCMP_ACT_KILL_PROCESS, kDeadly));
  if (const int loaded = seccomp_load(filter.get()); loaded != 0) {
    return Fail(Error::System("install the system call filter (--seccomp=none does without)", -loaded));
  }
  return {};
}

}  // namespace steno
