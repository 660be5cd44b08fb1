#include "server/service_watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr std::chrono::milliseconds kStartPause{50};
constexpr std::chrono::milliseconds kPause{1000};

bool IsSettled(const CaptureState& state) { return state.starts > 0 || state.awaits_interface; }

std::string StatusLine(const std::vector<CaptureState>& captures, const std::vector<std::string>& not_ready) {
  if (!not_ready.empty()) return not_ready.front();
  std::string line;
  for (const CaptureState& capture : captures)
    line += (line.empty() ? "recording " : ", ") + capture.interface;
  return line;
}

// State D of proc(5).
bool WaitsForDisk(pid_t thread) {
  const auto text = ReadTextFile(fmt::format("/proc/self/task/{}/stat", thread), 4096);
  if (!text) return false;
  const size_t at = text->rfind(')');
  return at != std::string::npos && text->compare(at, 3, ") D") == 0;
}

}  // namespace

ServiceWatch::ServiceWatch(const Notifier& notifier, Sources sources)
    : notifier_(notifier),
      sources_(std::move(sources)),
      ticker_("service-watch", [this](const std::stop_token&) { return Turn(); }) {}

std::chrono::milliseconds ServiceWatch::Turn() {
  const std::vector<CaptureState> captures = sources_.captures();
  if (!ready_ && std::ranges::all_of(captures, IsSettled)) {
    notifier_.Ready();
    ready_ = true;
  }
  std::string status = StatusLine(captures, sources_.not_ready());
  if (std::exchange(status_, status) != status) notifier_.Status(status);
  if (notifier_.watchdog_ns() != 0) TellAlive();
  const std::chrono::milliseconds half{notifier_.watchdog_ns() / kNsPerMs / 2};
  const std::chrono::milliseconds pause = ready_ ? kPause : kStartPause;
  return half.count() == 0 ? pause : std::min(pause, half);
}

void ServiceWatch::TellAlive() {
  const std::string stuck = sources_.stuck();
  if (stuck.empty()) {
    notifier_.Alive();
  } else if (alive_) {
    STENO_ERROR("{} is stuck: the service manager is told nothing until it moves", stuck);
  }
  alive_ = stuck.empty();
}

std::string StuckTicker(const std::vector<const Ticker*>& tickers, int64_t limit_ns, int64_t now_ns) {
  for (const Ticker* ticker : tickers) {
    const int64_t since_ns = ticker->busy_since_ns();
    if (since_ns != 0 && now_ns - since_ns > limit_ns && !WaitsForDisk(ticker->thread_id()))
      return fmt::format("thread {}", ticker->name());
  }
  return {};
}

}  // namespace steno
