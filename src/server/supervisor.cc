#include "server/supervisor.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <net/if.h>
#include <poll.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/restart_backoff.h"
#include "server/message_limiter.h"

namespace steno {
namespace {

constexpr int kWatchPauseMs = 50;
constexpr int64_t kInterfacePauseNs = 100 * kNsPerMs;  // between looks for an interface
constexpr int64_t kInterfaceLogPeriodNs = 60 * kNsPerSecond;
// A stenotype that asks to be started again although it has just been is treated like one that fails.
constexpr int64_t kLeastRunNs = kNsPerSecond / 2;
constexpr int64_t kAliveNs =
    10 * kNsPerSecond;  // /readyz: a heartbeat older than this is a thread that hangs

// False also for what is not an interface's name.
bool IsMissingInterface(const std::string& name) {
  if (name.size() >= IFNAMSIZ || name.find_first_of("@:/") != std::string::npos) return false;
  return ::if_nametoindex(name.c_str()) == 0 && errno == ENODEV;
}

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
  if (options.slots != 0) {
    arguments.push_back(fmt::format("--first_slot={}", options.first_slot));
    arguments.push_back(fmt::format("--slots={}", options.slots));
  }
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

// Grows when files may have been left hidden by a stenotype that lives on.
uint64_t CountLeftovers(const ArenaList& arenas) {
  uint64_t count = 0;
  for (const auto& arena : arenas) {
    const CaptureCounters& counters = arena->counters();
    const bool trouble = counters.disk_errno.load(std::memory_order_relaxed) != 0;
    const uint64_t over = counters.disk_troubles.load(std::memory_order_relaxed) - (trouble ? 1 : 0);
    count += counters.seal_failures.load(std::memory_order_relaxed) + over;
  }
  return count;
}

}  // namespace

// What the arena says of its disk. It is stenotype's, and not trusted to make sense.
std::optional<std::string> DiskTroubleText(const CaptureCounters& counters) {
  const uint64_t error = counters.disk_errno.load(std::memory_order_relaxed);
  if (error == 0) return std::nullopt;
  const std::string text = error == static_cast<uint64_t>(kDiskStalled) ? "writes do not complete"
                           : error < 4096 ? std::strerror(static_cast<int>(error))
                                          : "unknown error";
  const uint64_t since_ns = counters.disk_trouble_since_ns.load(std::memory_order_relaxed);
  const auto since = static_cast<time_t>(std::min(since_ns, static_cast<uint64_t>(WallNs())) / kNsPerSecond);
  return fmt::format("{}, since {:%Y-%m-%dT%H:%M:%SZ}; {} packets were lost so far", text, fmt::gmtime(since),
                     counters.disk_trouble_drops.load(std::memory_order_relaxed));
}

std::vector<std::string> NotReadyReasons(const CaptureState& state, int64_t now_ns) {
  const std::string where = "interface " + state.interface + ": ";
  if (state.awaits_interface) return {where + "it does not exist; stenotype is started once it does"};
  if (!state.running) {
    return {where + (state.last_exit.empty() ? "stenotype has not been started yet"
                                             : "stenotype is not running: it ended with " + state.last_exit)};
  }
  std::vector<std::string> reasons;
  for (size_t i = 0; i < state.arenas.size(); ++i) {
    const CaptureCounters& counters = state.arenas[i]->counters();
    const auto beat = static_cast<int64_t>(counters.heartbeat_ns.load(std::memory_order_relaxed));
    const std::string thread = fmt::format("{}capture thread {}", where, state.first_slot + i);
    if (beat == 0) {
      reasons.push_back(thread + " has not started yet");
    } else if (now_ns - beat > kAliveNs) {
      reasons.push_back(fmt::format("{} has not moved for {} s", thread, (now_ns - beat) / kNsPerSecond));
    } else if (counters.source_lost.load(std::memory_order_relaxed) != 0) {
      reasons.push_back(thread + " gets no packets: the interface or peer is gone");
    }
    if (auto trouble = DiskTroubleText(counters)) {
      const std::string directory = i < state.directories.size() ? state.directories[i] : "its directory";
      reasons.push_back(fmt::format("{} cannot write to {}: {}", thread, directory, *trouble));
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

Supervisor::Supervisor(SupervisorOptions options, CaptureDirectories directories)
    : options_(std::move(options)), directories_(std::move(directories)) {
  state_.interface = options_.interface;
  state_.first_slot = options_.first_slot;
  for (const StoreDirectory& directory : options_.directories) {
    state_.directories.push_back(directory.packets_directory);
  }
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
  const std::string asks_for_restart = fmt::format("exit status {}", EX_TEMPFAIL);
  RestartBackoff backoff;
  while (!stop_.stop_requested()) {
    const int64_t start_ns = MonotonicNs();
    const std::string how = RunOnce();
    const int64_t run_ns = MonotonicNs() - start_ns;
    if (AwaitInterface()) {
      backoff = RestartBackoff();
      continue;
    }
    if (how == asks_for_restart && run_ns >= kLeastRunNs) continue;
    const int64_t delay_ns = backoff.NextDelayNs(run_ns);
    if (delay_ns == 0 || stop_.stop_requested()) continue;
    STENO_WARN("stenotype for interface {} ends again and again: starting it in {} ms", options_.interface,
               delay_ns / kNsPerMs);
    Sleep(delay_ns);
  }
}

// Returns at once when asked to stop.
void Supervisor::Sleep(int64_t ns) {
  std::mutex mutex;
  std::condition_variable_any condition;
  std::unique_lock lock(mutex);
  condition.wait_for(lock, stop_.get_token(), std::chrono::nanoseconds(ns), [] { return false; });
}

// True if the interface was missing, once it is there.
bool Supervisor::AwaitInterface() {
  if (!IsMissingInterface(options_.interface)) return false;
  MessageLimiter log(kInterfaceLogPeriodNs);
  const auto note = [this](bool awaits) {
    const std::lock_guard lock(mutex_);
    state_.awaits_interface = awaits;
  };
  note(true);
  while (!stop_.stop_requested() && IsMissingInterface(options_.interface)) {
    if (log.Allow(MonotonicNs())) {
      STENO_WARN("interface {} does not exist: stenotype is started once it does", options_.interface);
    }
    Sleep(kInterfacePauseNs);
  }
  note(false);
  return true;
}

std::string Supervisor::RunOnce() {
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
  return NoteExit(stop_.stop_requested() ? nullptr : &*child, how);
}

std::string Supervisor::Watch(ChildProcess& child, const ArenaList& arenas) {
  const int64_t started_ns = MonotonicNs();
  int64_t kill_ns = INT64_MAX;
  uint64_t leftovers = 0;
  std::string why;  // it is killed
  for (;;) {
    if (const uint64_t count = CountLeftovers(arenas); std::exchange(leftovers, count) != count) {
      options_.on_leftovers();
    }
    if (auto how = child.Reap()) return *how + why;
    if (kill_ns == INT64_MAX && stop_.stop_requested()) {
      child.Send(SIGTERM);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    }
    if (kill_ns != INT64_MAX && MonotonicNs() > kill_ns) {
      STENO_WARN("stenotype does not end when asked to: killing process {}", child.pid());
      child.Send(SIGKILL);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    } else if (kill_ns == INT64_MAX && Stalled(arenas, started_ns, options_.stall_ns)) {
      STENO_ERROR("stenotype for interface {} has not moved for {} s: killing process {}", options_.interface,
                  options_.stall_ns / kNsPerSecond, child.pid());
      why = fmt::format(": it was killed, since a thread had not moved for {} s",
                        options_.stall_ns / kNsPerSecond);
      child.Send(SIGKILL);
      kill_ns = MonotonicNs() + options_.stop_grace_ns;
    }
    child.Relay(kWatchPauseMs);
  }
}

// Returns `how`.
std::string Supervisor::NoteExit(const ChildProcess* child, const std::string& how) {
  {
    const std::lock_guard lock(mutex_);
    state_.running = false;
    state_.pid = -1;
    state_.last_exit = how;
    state_.last_exit_ns = WallNs();
    state_.last_words.clear();
    if (child != nullptr) state_.last_words.assign(child->last_lines().begin(), child->last_lines().end());
  }
  if (child != nullptr) {
    STENO_ERROR("stenotype for interface {} ended with {}; its last lines: {}", options_.interface, how,
                fmt::join(child->last_lines(), " | "));
  } else if (stop_.stop_requested()) {
    STENO_INFO("stenotype for interface {} stopped with {}", options_.interface, how);
  } else {
    STENO_ERROR("cannot start stenotype for interface {}: {}", options_.interface, how);
  }
  options_.on_leftovers();
  return how;
}

}  // namespace steno
