#include "server/process_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

namespace steno {
namespace {

constexpr uint64_t kMaxStatBytes = 4096;

// The fields of /proc/PID/stat from the third on, as in proc(5); the second, the name, may hold anything.
std::vector<std::string> StatFields(const std::string& text) {
  std::vector<std::string> fields;
  std::istringstream rest(text.substr(text.rfind(')') + 1));
  for (std::string field; rest >> field;) fields.push_back(std::move(field));
  return fields;
}

// Wall clock at the system's start, which the start of a process counts from.
double BootSeconds() {
  return static_cast<double>(WallNs() - ReadClockNs(CLOCK_BOOTTIME)) / static_cast<double>(kNsPerSecond);
}

}  // namespace

std::optional<ProcessUsage> ReadProcessUsage(pid_t pid) {
  const auto text = ReadTextFile(fmt::format("/proc/{}/stat", pid), kMaxStatBytes);
  if (!text || text->rfind(')') == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = StatFields(*text);
  // proc(5) counts from 1 and the first two are not here.
  constexpr size_t kUserTime = 14 - 3, kSystemTime = 15 - 3, kThreads = 20 - 3, kStart = 22 - 3;
  constexpr size_t kVirtual = 23 - 3, kResident = 24 - 3;
  if (fields.size() <= kResident) return std::nullopt;
  const auto number = [&](size_t i) { return std::strtoull(fields[i].c_str(), nullptr, 10); };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  ProcessUsage usage;
  usage.cpu_seconds = static_cast<double>(number(kUserTime) + number(kSystemTime)) / ticks;
  usage.start_seconds = BootSeconds() + static_cast<double>(number(kStart)) / ticks;
  usage.virtual_bytes = number(kVirtual);
  usage.resident_bytes = number(kResident) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  usage.threads = number(kThreads);
  return usage;
}

DescriptorUsage ReadDescriptorUsage() {
  DescriptorUsage usage;
  // Without "." and "..", which ListDirectory leaves out, but with the one that it reads by.
  if (const auto names = ListDirectory("/proc/self/fd")) usage.open = names->size() - 1;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.limit = limit.rlim_cur;
  return usage;
}

}  // namespace steno
