#include "client/tcpdump_pipe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string_view>

namespace steno {
namespace {

constexpr int kPipeBytes = 1 << 20;  // the largest that an ordinary user may have (fs.pipe-max-size)
constexpr std::string_view kFurtherDirectories = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin";

// Attributes of the child: what this process ignores must not be ignored there.
class SpawnSetup {
 public:
  explicit SpawnSetup(int input) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_adddup2(&actions_, input, STDIN_FILENO);
    ::posix_spawnattr_init(&attributes_);
    sigset_t defaults;
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes_, &defaults);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

Result<std::string> FindTcpdump(const char* path) {
  std::string directories = path != nullptr ? path : "";
  directories += ':';
  directories += kFurtherDirectories;
  for (size_t begin = 0; begin < directories.size();) {
    const size_t end = std::min(directories.find(':', begin), directories.size());
    std::string candidate = directories.substr(begin, end - begin) + "/tcpdump";
    if (end > begin && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return Fail(Error::NotFound(fmt::format("tcpdump is not installed (looked in {})", directories)));
}

TcpdumpPipe::TcpdumpPipe(std::string program, std::vector<std::string> arguments)
    : program_(std::move(program)), arguments_(std::move(arguments)) {}

TcpdumpPipe::~TcpdumpPipe() {
  input_.reset();
  if (started() && !ended_) Reap(0);
}

Status TcpdumpPipe::Start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Fail(Error::System("pipe"));
  const UniqueFd output(ends[0]);
  UniqueFd input(ends[1]);
  ::fcntl(input.get(), F_SETPIPE_SZ, kPipeBytes);  // only faster: the default size works too
  std::signal(SIGPIPE, SIG_IGN);

  std::vector<std::string> words = {"tcpdump", "-r", "-", "-s", "0"};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const SpawnSetup setup(output.get());
  const int failure =
      ::posix_spawn(&child_, program_.c_str(), setup.actions(), setup.attributes(), argv.data(), environ);
  if (failure != 0) {
    child_ = -1;
    return Fail(Error::System(fmt::format("start {}", program_), failure));
  }
  input_ = std::move(input);
  return {};
}

bool TcpdumpPipe::Write(std::span<const uint8_t> bytes) {
  if (!started()) {
    error_ = Start();
    if (!error_) return false;
  }
  while (!bytes.empty()) {
    const ssize_t written = ::write(input_.get(), bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      return false;  // it has all that it wants (-c), or has failed and said why
    } else if (errno != EINTR) {
      error_ = Fail(Error::System("write to tcpdump"));
      return false;
    }
  }
  return true;
}

bool TcpdumpPipe::WantsMore() {
  if (started() && !ended_) Reap(WNOHANG);
  return !ended_;
}

void TcpdumpPipe::Reap(int options) {
  pid_t result = 0;
  do {
    result = ::waitpid(child_, &wait_status_, options);
  } while (result < 0 && errno == EINTR);
  ended_ = result != 0;
}

Result<int> TcpdumpPipe::Finish() {
  if (!error_) return Fail(error_.error());
  if (!started()) return 0;
  input_.reset();
  if (!ended_) Reap(0);
  return WIFSIGNALED(wait_status_) ? 128 + WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
}

}  // namespace steno
