#include "capture/recorder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "capture/counter.h"
#include "capture/numa.h"
#include "capture/open_rings.h"
#include "capture/open_stream.h"
#include "capture/sandbox.h"
#include "capture/stats_line.h"

namespace steno {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kDefaultFileMiB = 4096;
constexpr uint64_t kSmallestDefaultFileMiB = 8;
constexpr uint64_t kFilesPerFileSystem = 16;  // at least so many files of the default size fit

Status CheckDirectory(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return Fail(Error::System(
        fmt::format("{}: expected a directory (--dir holds PKT<n> and IDX<n> for each thread)", path)));
  }
  if (!S_ISDIR(status.st_mode)) return Fail(Error::Invalid(fmt::format("{}: is not a directory", path)));
  return {};
}

Status CheckWritable(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  const int error = errno;
  return Fail(Error::System(
      fmt::format("{}: user {}, group {} cannot write here", path, ::geteuid(), ::getegid()), error));
}

// What a recorder that is gone has left in an arena that was made for it by the parent.
void TakeOver(Arena& arena) {
  for (unsigned index = 0; index < kArenaSegments; ++index) {
    arena.segment(index).header->state.store(static_cast<uint32_t>(SegmentState::kFree),
                                             std::memory_order_release);
  }
  for (Counter& counter : AllCounters(arena.counters())) SetTo(counter, 0);
  arena.header().pid.store(static_cast<uint32_t>(::getpid()), std::memory_order_release);
}

// The directory behind the links, which is the one that people know.
std::string ResolvedPath(const std::string& path) {
  std::error_code error;
  const auto resolved = std::filesystem::canonical(path, error);
  return error ? path : resolved.string();
}

void Notify(int event_fd) {
  const uint64_t one = 1;
  static_cast<void>(!::write(event_fd, &one, sizeof one));
}

}  // namespace

Recorder::Recorder(const CaptureOptions& options) : options_(options), limit_(options.packet_limit) {}

Recorder::~Recorder() {
  if (const Status stopped = StopThreads(); !stopped) STENO_ERROR("{}", stopped.error().message);
}

std::string Recorder::PacketDirectory(unsigned thread) const {
  return fmt::format("{}/PKT{}", options_.directory, thread);
}
std::string Recorder::IndexDirectory(unsigned thread) const {
  return fmt::format("{}/IDX{}", options_.directory, thread);
}

Result<std::unique_ptr<Recorder>> Recorder::Start(const CaptureOptions& options) {
  std::unique_ptr<Recorder> recorder(new Recorder(options));
  STENO_TRY(const Identity identity, ResolveIdentity(options.user, options.group));
  for (unsigned thread = 0; thread < options.threads; ++thread) {
    STENO_CHECK_OK(CheckDirectory(recorder->PacketDirectory(thread)));
    if (options.index) STENO_CHECK_OK(CheckDirectory(recorder->IndexDirectory(thread)));
  }
  recorder->event_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!recorder->event_fd_.valid()) return Fail(Error::System("eventfd"));
  STENO_TRY(const auto numa_node, FindNumaNode(options.numa_node, options.interface_name));
  if (numa_node) StayOnNumaNode(*numa_node);  // before the first large memory
  STENO_CHECK_OK(recorder->OpenArenas(numa_node));
  STENO_CHECK_OK(recorder->OpenThreads());
  STENO_CHECK_OK(DropPrivileges(identity));
  STENO_CHECK_OK(recorder->CheckDirectories());
  STENO_CHECK_OK(InstallSystemCallFilter(options.seccomp));
  STENO_CHECK_OK(recorder->StartThreads());
  return recorder;
}

Status Recorder::CheckDirectories() const {
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    STENO_CHECK_OK(CheckWritable(PacketDirectory(thread)));
    if (options_.index) STENO_CHECK_OK(CheckWritable(IndexDirectory(thread)));
  }
  return {};
}

Status Recorder::OpenArenas(std::optional<unsigned> numa_node) {
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    auto arena =
        options_.arena_fds.empty() ? Arena::Create(thread) : Arena::Attach(options_.arena_fds[thread], true);
    if (!arena) return Fail(std::move(arena).error().With(fmt::format("thread {}", thread)));
    TakeOver(*arena);
    if (numa_node) PlaceOnNumaNode(*numa_node, arena->memory());
    arenas_.push_back(std::move(*arena));
  }
  return {};
}

Result<std::vector<std::unique_ptr<PacketSource>>> Recorder::OpenSources() {
  if (!options_.from_stream()) {
    losses_.emplace(options_.interface_name);
    return OpenRings(options_);
  }
  std::vector<std::unique_ptr<PacketSource>> sources(1);
  STENO_TRY(sources[0], OpenStream(options_));
  return sources;
}

Status Recorder::OpenThreads() {
  STENO_TRY(auto sources, OpenSources());
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    STENO_TRY(const uint64_t file_bytes, FileBytes(PacketDirectory(thread)));
    file_bytes_.push_back(file_bytes);
    STENO_TRY(auto capture, OpenThread(thread, std::move(sources[thread])));
    threads_.push_back(std::move(capture));
  }
  return {};
}

Result<std::unique_ptr<CaptureThread>> Recorder::OpenThread(unsigned thread,
                                                            std::unique_ptr<PacketSource> source) {
  STENO_TRY(IoEngineChoice choice,
            MakeIoEngine({.kind = options_.io_engine, .queue_depth = options_.write_queue}));
  STENO_TRY(BlockGatherer gatherer, BlockGatherer::Create());
  STENO_TRY(IndexBuilder builder, IndexBuilder::Create());
  const uint64_t file_bytes = file_bytes_[thread];
  STENO_INFO("thread {}: writing by {}, files of {} MiB", options_.first_slot + thread, choice.reason,
             file_bytes / kMiB);
  CaptureThreadOptions capture{
      .writer = {.directory = ResolvedPath(PacketDirectory(thread)),
                 .thread = options_.first_slot + thread,
                 .threads = options_.all_slots(),
                 .preparer_slot = thread,
                 .file_bytes = file_bytes,
                 .extend =
                     options_.preallocate_mb.value_or(0) > 0 && *options_.preallocate_mb * kMiB < file_bytes,
                 .file_age_ns = options_.file_age_sec * kNsPerSecond,
                 .queue_depth = options_.write_queue,
                 .snaplen = options_.snaplen,
                 .index = options_.index,
                 .patient = options_.from_stream()},
      .source_name = SourceName(options_),
      .gather_age_ns = static_cast<int64_t>(options_.block_age_sec * static_cast<double>(kNsPerSecond)),
      .stats_blocks = options_.stats_blocks,
      .cpu = options_.cpus.empty() ? -1 : static_cast<int>(options_.cpus[thread])};
  const int event_fd = event_fd_.get();
  return CaptureThread::Create(std::move(capture), {.source = std::move(source),
                                                    .gatherer = std::move(gatherer),
                                                    .engine = std::move(choice.engine),
                                                    .builder = std::move(builder),
                                                    .arena = arenas_[thread],
                                                    .limit = limit_,
                                                    .on_event = [event_fd] { Notify(event_fd); }});
}

Result<uint64_t> Recorder::FileBytes(const std::string& directory) const {
  uint64_t bytes = options_.file_mb.value_or(kDefaultFileMiB) * kMiB;
  if (!options_.file_mb) {
    struct statvfs file_system{};
    if (::statvfs(directory.c_str(), &file_system) != 0)
      return Fail(Error::System("statvfs of " + directory));
    const uint64_t share =
        uint64_t{file_system.f_blocks} * file_system.f_frsize / kFilesPerFileSystem / kMiB * kMiB;
    bytes = std::max(std::min(bytes, share), kSmallestDefaultFileMiB * kMiB);
  }
  // Whatever the kernel or the gatherer fills must fit.
  return std::max<uint64_t>({bytes, options_.block_kb * uint64_t{1024}, kGatherBlockBytes});
}

Status Recorder::StartThreads() {
  std::vector<PreparerSlotOptions> slots;
  const uint64_t one_block = std::max<uint64_t>(options_.block_kb * uint64_t{1024}, kGatherBlockBytes);
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    const uint64_t wanted = options_.preallocate_mb.value_or(0) * kMiB;
    const uint64_t bytes =
        wanted == 0 ? file_bytes_[thread] : std::clamp(wanted, one_block, file_bytes_[thread]);
    slots.push_back({.directory = PacketDirectory(thread), .file_bytes = bytes, .minimum_bytes = one_block});
  }
  preparer_ = std::make_unique<FilePreparer>(std::move(slots));
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    const SealingOptions sealing{.thread = options_.first_slot + thread,
                                 .threads = options_.all_slots(),
                                 .index_directory = IndexDirectory(thread),
                                 .nice = options_.index_nice};
    sealing_.push_back(std::make_unique<SealingThread>(sealing, arenas_[thread].counters()));
  }
  started_ns_ = MonotonicNs();
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    STENO_CHECK_OK(threads_[thread]->Start(*preparer_, *sealing_[thread]));
  }
  return {};
}

void Recorder::RequestStop() {
  stop_requested_.store(true, std::memory_order_relaxed);
  Notify(event_fd_.get());
}

Status Recorder::Wait(int signal_fd) {
  const bool statistics = options_.verbosity > 0 && options_.stats_sec > 0;
  const int64_t interval_ns = options_.stats_sec * kNsPerSecond;
  int64_t losses_ns = started_ns_;
  int64_t statistics_ns = started_ns_ + interval_ns;
  while (true) {
    const int64_t now = MonotonicNs();
    if (statistics && now >= statistics_ns) {
      LogStatistics(now);
      statistics_ns += interval_ns;
    }
    if (losses_ && now >= losses_ns) {
      losses_->Look(arenas_, now);
      losses_ns = now + kNsPerSecond;
    }
    int64_t due_ns = losses_ ? losses_ns : INT64_MAX;
    if (statistics) due_ns = std::min(due_ns, statistics_ns);
    const int64_t left_ms = (due_ns - now) / kNsPerMs + 1;
    const int timeout_ms =
        due_ns == INT64_MAX ? -1 : static_cast<int>(std::clamp<int64_t>(left_ms, 0, 3'600'000));
    if (StopWanted(signal_fd, timeout_ms)) break;
  }
  const Status stopped = StopThreads();
  if (losses_) losses_->Look(arenas_, MonotonicNs());
  if (statistics) LogStatistics(MonotonicNs());
  // Who sets a limit expects to stop at it.
  if (!stopped && !(stopped.error().code == ErrorCode::kCancelled && limit_.reached())) return stopped;
  return CheckImported();
}

// Who reads files wants to know whether all of them is recorded.
Status Recorder::CheckImported() const {
  if (options_.read_files.empty()) return {};
  const uint64_t lost = ValueOf(counters(0).write_error_drops);
  const uint64_t unfinished = ValueOf(counters(0).seal_failures);
  if (lost == 0 && unfinished == 0) return {};
  return Fail(Error{.code = ErrorCode::kIo,
                    .message = fmt::format("{} packets could not be written, {} packet files could not be "
                                           "indexed or given their name; the log says why",
                                           lost, unfinished)});
}

bool Recorder::StopWanted(int signal_fd, int timeout_ms) {
  std::array<pollfd, 3> waits{pollfd{signal_fd, POLLIN, 0}, pollfd{options_.parent_fd, POLLIN, 0},
                              pollfd{event_fd_.get(), POLLIN, 0}};
  if (::poll(waits.data(), waits.size(), timeout_ms) <= 0) return false;
  if (waits[0].revents != 0) {
    STENO_INFO("stopping: asked by a signal");
    return true;
  }
  if (waits[1].revents != 0) {
    // The parent writes nothing: what is readable is the end of the pipe, unless it does after all.
    std::array<char, 64> ignored;
    const ssize_t count = ::read(options_.parent_fd, ignored.data(), ignored.size());
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
      STENO_INFO("stopping: the parent is gone");
      return true;
    }
  }
  if (waits[2].revents == 0) return false;
  uint64_t count = 0;
  static_cast<void>(!::read(event_fd_.get(), &count, sizeof count));
  const bool ended =
      std::any_of(threads_.begin(), threads_.end(), [](const auto& thread) { return thread->ended(); });
  if (ended || stop_requested_.load(std::memory_order_relaxed)) return true;
  if (!limit_.reached()) return false;
  STENO_INFO("stopping: {} packets are recorded", options_.packet_limit);
  return true;
}

void Recorder::LogStatistics(int64_t now_ns) {
  for (unsigned thread = 0; thread < options_.threads; ++thread) {
    CaptureCounters& counters = arenas_[thread].counters();
    STENO_INFO("{}", FormatStatsLine(options_.first_slot + thread, {.bytes = ValueOf(counters.stored_bytes),
                                                                    .elapsed_ns = now_ns - started_ns_,
                                                                    .packets = ValueOf(counters.packets),
                                                                    .blocks = ValueOf(counters.blocks),
                                                                    .polls = ValueOf(counters.wakeups),
                                                                    .drops = ValueOf(counters.ring_drops)}));
    SetTo(counters.write_latency_max_ns, 0);
  }
}

Status Recorder::StopThreads() {
  for (const auto& thread : threads_) thread->Stop();
  Status outcome;
  for (const auto& thread : threads_) {
    thread->Join();
    if (outcome && !thread->outcome()) outcome = thread->outcome();
  }
  sealing_.clear();  // publishes what is queued
  threads_.clear();
  preparer_.reset();
  return outcome;
}

Result<UniqueFd> TakeStopSignals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return Fail(Error::System("sigprocmask"));
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return Fail(Error::System("signalfd"));
  return fd;
}

}  // namespace steno
