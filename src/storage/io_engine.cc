#include "storage/io_engine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/file.h"
#include "base/mapping.h"
#include "base/unique_fd.h"
#include "storage/block_format.h"
#include "storage/engines.h"

namespace steno {
namespace {

constexpr unsigned kMaxQueueDepth = 4096;
constexpr int kProbeMs = 2000;

struct Kind {
  std::string_view name;
  Result<std::unique_ptr<IoEngine>> (*make)(unsigned queue_depth);
};
constexpr std::array<Kind, 3> kKinds{{
    {"io_uring", MakeUringEngine},
    {"libaio", MakeLibaioEngine},
    {"pwrite", MakePwriteEngine},
}};

// Writes one page through the engine to a file in memory and compares.
Status WriteOnce(IoEngine& engine) {
  const UniqueFd file(::memfd_create("steno-probe", MFD_CLOEXEC));
  if (!file.valid()) return Fail(Error::System("memfd_create"));
  STENO_TRY(const Mapping page, Mapping::Anonymous(kDiskAlignment));
  std::memset(page.data(), 0x5a, page.size());
  STENO_CHECK_OK(engine.SubmitWrite(file.get(), page.bytes(), 0, 1));
  std::array<WriteCompletion, 1> done;
  while (engine.Reap(done) == 0) {
    pollfd wait{engine.event_fd(), POLLIN, 0};
    const int ready = ::poll(&wait, 1, kProbeMs);
    if (ready < 0 && errno != EINTR) return Fail(Error::System("poll"));
    if (ready == 0) return Fail(Error::Unsupported(fmt::format("a probe write took over {} ms", kProbeMs)));
  }
  if (done[0].result < 0) return Fail(Error::System("probe write", static_cast<int>(-done[0].result)));
  std::array<uint8_t, kDiskAlignment> read;
  STENO_CHECK_OK(ReadFully(file.get(), read, 0, "probe file"));
  const bool same = std::memcmp(read.data(), page.data(), read.size()) == 0;
  return same ? Status{} : Fail(Error::Corrupt("a probe write stored other bytes"));
}

// Who may have refused it, for the log: EPERM and ENOSYS come from outside of this program.
std::string Hint(std::string_view kind, int error) {
  if (kind == "io_uring" && (error == EPERM || error == EACCES)) {
    const auto sysctl = ReadTextFile("/proc/sys/kernel/io_uring_disabled", 64);
    // 2 refuses it to all; 1 to those without CAP_SYS_ADMIN that are not in kernel.io_uring_group.
    if (sysctl && sysctl->starts_with("2")) return " (sysctl kernel.io_uring_disabled is 2)";
    const bool maybe = sysctl && sysctl->starts_with("1");
    return fmt::format(" (a seccomp profile refuses it; Docker's and containerd's default does{})",
                       maybe ? "; or sysctl kernel.io_uring_disabled, which is 1" : "");
  }
  if (error == EPERM) return " (a seccomp profile refuses it)";
  if (error == ENOSYS) return " (not in this kernel, or a seccomp profile hides it)";
  if (error == ENOMEM) return " (RLIMIT_MEMLOCK or memory is short)";
  if (kind == "libaio" && error == EAGAIN) return " (sysctl fs.aio-max-nr is reached)";
  return "";
}

// Makes an engine and writes by it, on a thread of its own: an io_uring belongs to the thread that first
// writes by it, and the kernel's worker thread that it takes for a file in memory would stay with that
// thread.
Status Probe(const Kind& kind) {
  Status status;
  const auto run = [&] {
    auto engine = kind.make(1);
    status = engine ? WriteOnce(**engine) : Status(Fail(std::move(engine).error()));
  };
  try {
    std::thread(run).join();
  } catch (const std::system_error& error) {
    return Fail(Error::System("start a probing thread", error.code().value()));
  }
  return status;
}

Result<std::unique_ptr<IoEngine>> MakeProbed(const Kind& kind, unsigned queue_depth) {
  Status status = Probe(kind);
  if (status) {
    auto engine = kind.make(queue_depth);
    if (engine) return engine;
    status = Fail(std::move(engine).error());
  }
  Error error = std::move(status).error();
  error.message += Hint(kind.name, error.sys_errno);
  return Fail(std::move(error).With(kind.name));
}

}  // namespace

Result<IoEngineChoice> MakeIoEngine(const IoEngineOptions& options) {
  if (options.queue_depth == 0 || options.queue_depth > kMaxQueueDepth) {
    return Fail(
        Error::Invalid(fmt::format("queue depth {}: expected 1..{}", options.queue_depth, kMaxQueueDepth)));
  }
  const bool automatic = options.kind == "auto";
  std::string refusals;
  Error last = Error::Invalid(
      fmt::format("I/O engine \"{}\": expected auto, io_uring, libaio or pwrite", options.kind));
  for (const Kind& kind : kKinds) {
    if (!automatic && kind.name != options.kind) continue;
    auto engine = MakeProbed(kind, options.queue_depth);
    if (engine) {
      const std::string why = automatic ? "the first that works here" : "as configured";
      return IoEngineChoice{std::move(*engine), fmt::format("{}: {}{}", kind.name, why, refusals)};
    }
    last = std::move(engine).error();
    refusals += "; " + last.message;
  }
  return Fail(std::move(last));
}

}  // namespace steno
