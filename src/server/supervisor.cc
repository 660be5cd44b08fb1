#include "server/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>

#include "base/clock.h"
#include "base/log.h"
#include "base/restart_backoff.h"

namespace steno {
namespace {

constexpr int kWatchPauseMs = 50;
constexpr int64_t kAliveNs =
    10 * kNsPerSecond;  // /readyz: a heartbeat older than this is a thread that hangs

Result<ArenaList> MakeArenas(size_t count) {
  ArenaList arenas;
  for (size_t i = 0; i < count; ++i) {
    STENO_TRY(Arena arena, Arena::Create(static_cast<uint32_t>(i)));
    arenas.push_back(std::make_shared<const Arena>(std::move(arena)));
  }
  return arenas;
}

// stenotype ends when the other end, which only this process holds, is closed.
struct LifeLine {
  UniqueFd read_end;
  UniqueFd write_end;

  static Result<LifeLine> Make() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(Error::System("pipe"));
    return LifeLine{UniqueFd(ends[0]), UniqueFd(ends[1])};
  }
};

// Our flags come last: they win over the configuration's.
std::vector<std::string> MakeArguments(const SupervisorOptions& options, const std::string& directory,
                                       const ArenaList& arenas, int parent_fd) {
  std::vector<std::string> arguments{options.stenotype_path};
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  std::string arena_fds;
  for (const auto& arena : arenas) arena_fds += (arena_fds.empty() ? "" : ",") + std::to_string(arena->fd());
  arguments.push_back(fmt::format("--threads={}", options.directories.size()));
  arguments.push_back("--dir=" + directory);
  arguments.push_back("--iface=" + options.interface);
  arguments.push_back("--arena_fds=" + arena_fds);
  arguments.push_back(fmt::format("--parent_fd={}", parent_fd));
  return arguments;
}

bool Stalled(const ArenaList& arenas, int64_t started_ns, int64_t stall_ns) {
  const int64_t now = MonotonicNs();
  return std::any_of(arenas.begin(), arenas.end(), [&](const auto& arena) {
    const auto beat = static_cast<int64_t>(arena->counters().heartbeat_ns.load(std::memory_order_relaxed));
    return now - std::clamp(beat, started_ns, now) > stall_ns;
  });
}

}  // namespace

std::vector<std::string> NotReadyReasons(const CaptureState& state, int64_t now_ns) {
  if (!state.running) {
    return {state.last_exit.empty() ? "stenotype has not been started yet"
                                    : "stenotype is not running: it ended with " + state.last_exit};
  }
  std::vector<std::string> reasons;
  for (size_t i = 0; i < state.arenas.size(); ++i) {
    const auto beat =
        static_cast<int64_t>(state.arenas[i]->counters().heartbeat_ns.load(std::memory_order_relaxed));
    if (beat == 0) {
      reasons.push_back(fmt::format("capture thread {} has not started yet", i));
    } else if (now_ns - beat > kAliveNs) {
      reasons.push_back(
          fmt::format("capture thread {} has not moved for {} s", i, (now_ns - beat) / kNsPerSecond));
    }
  }
  return reasons;
}

Result<std::unique_ptr<Supervisor>> Supervisor::Prepare(SupervisorOptions options) {
  struct stat info{};
  const std::string& path = options.stenotype_path;
  if (::stat(path.c_str(), &info) != 0) return Fail(Error::System("StenotypePath: " + path));
  if (!S_ISREG(info.st_mode) || ::access(path.c_str(), X_OK) != 0) {
    return Fail(Error::Invalid("StenotypePath: " + path + " is not a file that this user may execute"));
  }
  STENO_TRY(CaptureDirectories directories,
            CaptureDirectories::Create(options.directories, OwnerFromFlags(options.flags)));
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(options), std::move(directories)));
}

void Supervisor::Start() {
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() { Stop(); }

void Supervisor::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
  directories_.reset();
}

CaptureState Supervisor::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Supervisor::Run() {
  ::pthread_setname_np(::pthread_self(), "supervisor");
  RestartBackoff backoff;
  std::mutex sleep_mutex;
  std::condition_variable_any sleep;
  while (!stop_.stop_requested()) {
    const int64_t start_ns = MonotonicNs();
    RunOnce();
    if (stop_.stop_requested()) break;
    const int64_t delay_ns = backoff.NextDelayNs(MonotonicNs() - start_ns);
    if (delay_ns == 0) continue;
    STENO_WARN("stenotype ends again and again: starting it in {} ms", delay_ns / kNsPerMs);
    std::unique_lock lock(sleep_mutex);
    sleep.wait_for(lock, stop_.get_token(), std::chrono::nanoseconds(delay_ns), [] { return false; });
  }
}

void Supervisor::RunOnce() {
  auto arenas = MakeArenas(options_.directories.size());
  if (!arenas) return NoteExit(nullptr, arenas.error().message);
  auto line = LifeLine::Make();
  if (!line) return NoteExit(nullptr, line.error().message);
  options_.on_arenas(*arenas);

  const auto arguments = MakeArguments(options_, directories_->path(), *arenas, line->read_end.get());
  std::vector<int> inherited{line->read_end.get()};
  for (const auto& arena : *arenas) inherited.push_back(arena->fd());
  auto child = ChildProcess::Start(arguments, inherited);
  if (!child) return NoteExit(nullptr, child.error().message);
  line->read_end.reset();
  STENO_INFO("started {} as process {}", fmt::join(arguments, " "), child->pid());
  {
    const std::lock_guard lock(mutex_);
    state_.running = true;
    state_.pid = child->pid();
    ++state_.starts;
    state_.arenas = *arenas;
  }
  const std::string how = Watch(*child, *arenas);
  NoteExit(stop_.stop_requested() ? nullptr : &*child, how);
}

std::string Supervisor::Watch(ChildProcess& child, const ArenaList& arenas) {
  const int64_t started_ns = MonotonicNs();
  int64_t kill_ns = INT64_MAX;
  for (;;) {
    if (auto how = child.Reap()) return *how;
    if (kill_ns == INT64_MAX && stop_.stop_requested()) {
      child.Send(SIGTERM);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    }
    if (kill_ns != INT64_MAX && MonotonicNs() > kill_ns) {
      STENO_WARN("stenotype does not end when asked to: killing process {}", child.pid());
      child.Send(SIGKILL);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    } else if (kill_ns == INT64_MAX && Stalled(arenas, started_ns, options_.stall_ns)) {
      STENO_ERROR("stenotype has not moved for {} s: killing process {}", options_.stall_ns / kNsPerSecond,
                  child.pid());
      child.Send(SIGKILL);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    }
    child.Relay(kWatchPauseMs);
  }
}

void Supervisor::NoteExit(const ChildProcess* child, const std::string& how) {
  {
    const std::lock_guard lock(mutex_);
    state_.running = false;
    state_.pid = -1;
    state_.last_exit = how;
  }
  if (child != nullptr) {
    STENO_ERROR("stenotype ended with {}; its last lines: {}", how, fmt::join(child->last_lines(), " | "));
  } else if (stop_.stop_requested()) {
    STENO_INFO("stenotype stopped with {}", how);
  } else {
    STENO_ERROR("cannot start stenotype: {}", how);
  }
  options_.on_exit();
}

}  // namespace steno
