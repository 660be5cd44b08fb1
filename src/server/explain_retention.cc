#include "server/explain_retention.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <ctime>

#include "base/clock.h"
#include "server/maintenance.h"

namespace steno {
namespace {

constexpr size_t kMaxListed = 1000;  // files per directory

std::string Size(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {} ({} bytes)", value, kUnits[unit], bytes);
}

std::string Time(int64_t ns) {
  const auto seconds = static_cast<std::time_t>(ns / kNsPerSecond);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return fmt::format("{} s", seconds);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", parts);
}

std::string Duration(int64_t ns) {
  const int64_t seconds = ns / kNsPerSecond;
  return fmt::format("{} d {:02}:{:02}:{:02}", seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60,
                     seconds % 60);
}

std::string Space(const char* of, const SpaceMeasure& space, double limit) {
  const double percent = space.total_bytes == 0 ? 100
                                                : 100 * static_cast<double>(space.free_bytes) /
                                                      static_cast<double>(space.total_bytes);
  return fmt::format("  {:<18} {:.2f} %, at least {} % (DiskFreePercentage): {} of {}{}\n", of, percent,
                     limit, Size(space.free_bytes), Size(space.total_bytes),
                     space.quota ? ", the project's quota" : "");
}

std::string Values(const RetentionState& state) {
  const RetentionDirectory& limits = state.directory;
  std::string text = fmt::format("{} (indexes: {})\n", limits.packets_directory, limits.index_directory);
  if (state.files == 0) {
    text += "  history            none\n";
  } else {
    text += fmt::format("  history            {}: {} to {}\n", Duration(state.newest_ns - state.oldest_ns),
                        Time(state.oldest_ns), Time(state.newest_ns));
  }
  text +=
      fmt::format("  files              {}, at most {} (MaxDirectoryFiles)\n", state.files, limits.max_files);
  text += fmt::format("  bytes              {}, {}\n", Size(state.bytes),
                      limits.max_bytes == 0 ? "no limit (MaxBytes)"
                                            : fmt::format("at most {} (MaxBytes)", Size(limits.max_bytes)));
  text += limits.max_age_ns == 0
              ? "  age                no limit (MaxAge)\n"
              : fmt::format("  age                at most {} (MaxAge)\n", Duration(limits.max_age_ns));
  text += Space("free for packets", state.packets_space, limits.disk_free_percent);
  text += Space("free for indexes", state.index_space, limits.disk_free_percent);
  if (state.files_from_future != 0) {
    text += fmt::format("  {} files have names in the future: they count as recorded now\n",
                        state.files_from_future);
  }
  return text;
}

std::string Deletions(const RetentionState& state, const RetentionReport& report) {
  std::string list;
  uint64_t files = 0;
  uint64_t bytes = 0;
  for (const DeletedFile& file : report.deleted) {
    if (file.path.substr(0, file.path.rfind('/')) != state.directory.packets_directory) continue;
    bytes += file.bytes;
    if (++files <= kMaxListed)
      list += fmt::format("    {}  {} bytes  {}\n", file.path, file.bytes, LimitName(file.cause));
  }
  if (files > kMaxListed) list += fmt::format("    and {} more\n", files - kMaxListed);
  if (files == 0) return "  would delete now   nothing\n";
  return fmt::format("  would delete now   {} files, {}:\n{}", files, Size(bytes), list);
}

}  // namespace

const char* LimitName(RetentionCause cause) {
  switch (cause) {
    case RetentionCause::kAge:
      return "MaxAge";
    case RetentionCause::kFiles:
      return "MaxDirectoryFiles";
    case RetentionCause::kBytes:
      return "MaxBytes";
    case RetentionCause::kSpace:
      return "DiskFreePercentage";
  }
  return "";
}

std::string ExplainRetention(const ServerConfig& config) {
  const RetentionPlan plan =
      Retention::Explain(DistinctDirectories(config.threads, config.interfaces.size()));
  std::string text;
  for (const RetentionState& state : plan.states) text += Values(state) + Deletions(state, plan.report);
  for (size_t cause = 0; cause < kRetentionCauses; ++cause) {
    if (plan.report.unsatisfied[cause])
      text += fmt::format("over the limit even then: {}\n", LimitName(static_cast<RetentionCause>(cause)));
  }
  for (const std::string& problem : plan.report.problems) text += "problem: " + problem + "\n";
  return text;
}

}  // namespace steno
