#include "server/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

namespace steno {
namespace {

constexpr size_t kKeptLines = 20;
constexpr size_t kMaxLineBytes = 1000;

// The spawn attributes and file actions of one start, freed together.
class SpawnSetup {
 public:
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    // A process group of its own: a Ctrl-C on the terminal reaches the server alone, which then stops its
    // child.
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  // A descriptor duplicated onto its own number loses its close-on-exec flag in the child (posix_spawn(3)).
  void Inherit(int fd, int number) { ::posix_spawn_file_actions_adddup2(&actions_, fd, number); }

  int Spawn(pid_t& pid, const std::vector<std::string>& arguments) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    return ::posix_spawn(&pid, argv[0], &actions_, &attributes_, argv.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

Result<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments,
                                         const std::vector<int>& inherited) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(Error::System("pipe"));
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  SpawnSetup setup;
  setup.Inherit(write_end.get(), STDERR_FILENO);
  for (const int fd : inherited) setup.Inherit(fd, fd);
  pid_t pid = -1;
  if (const int error = setup.Spawn(pid, arguments); error != 0) {
    return Fail(Error::System("start " + arguments.front(), error));
  }
  return ChildProcess(pid, std::move(read_end));
}

void ChildProcess::Relay(int timeout_ms) {
  if (!stderr_.valid()) {
    const timespec pause{timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L};
    ::nanosleep(&pause, nullptr);
    return;
  }
  pollfd event{stderr_.get(), POLLIN, 0};
  if (::poll(&event, 1, timeout_ms) <= 0) return;
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(stderr_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    stderr_.reset();
    return;
  }
  const std::string text(buffer.data(), static_cast<size_t>(got));
  // Nothing can be done about a stderr that takes no more.
  [[maybe_unused]] const ssize_t put = ::write(STDERR_FILENO, text.data(), text.size());
  KeepLines(text);
}

void ChildProcess::KeepLines(const std::string& text) {
  for (const char c : text) {
    if (c != '\n') {
      if (partial_.size() < kMaxLineBytes) partial_ += c;
      continue;
    }
    last_lines_.push_back(std::move(partial_));
    partial_.clear();
    if (last_lines_.size() > kKeptLines) last_lines_.pop_front();
  }
}

std::optional<std::string> ChildProcess::Reap() {
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0 || (reaped < 0 && errno == EINTR)) return std::nullopt;
  // What it wrote last is still in the pipe; a grandchild may hold the other end, so only what is there.
  for (int i = 0; i < 64 && stderr_.valid(); ++i) {
    pollfd event{stderr_.get(), POLLIN, 0};
    if (::poll(&event, 1, 0) <= 0) break;
    Relay(0);
  }
  if (reaped < 0) return "unknown status";
  if (WIFSIGNALED(status)) {
    return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("exit status {}", WEXITSTATUS(status));
}

void ChildProcess::Send(int signal) const { ::kill(pid_, signal); }

}  // namespace steno
