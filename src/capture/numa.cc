#include "capture/numa.h"

#include <fmt/format.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr unsigned kMaxNodes = 1024;  // CONFIG_NODES_SHIFT is 10 at most
constexpr uint64_t kMaxListBytes = 64 * 1024;

// The set of nodes that the system calls take, with one node in it.
class NodeMask {
 public:
  explicit NodeMask(unsigned node) { words_[node / kWordBits] = 1UL << node % kWordBits; }
  [[nodiscard]] const unsigned long* words() const { return words_; }
  // One more than the bits that count (set_mempolicy(2), "maxnode").
  static constexpr unsigned long kBits = kMaxNodes + 1;

 private:
  static constexpr unsigned kWordBits = 8 * sizeof(unsigned long);
  unsigned long words_[kMaxNodes / kWordBits + 1] = {};
};

std::optional<int> ReadNumber(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return number;
}

std::string NodePath(unsigned node) { return fmt::format("/sys/devices/system/node/node{}", node); }

void WarnOfRefusal(unsigned node, std::string_view what) {
  STENO_WARN("NUMA node {}: {}", node, Error::System(what).message);
}

}  // namespace

std::vector<unsigned> ParseCpuList(std::string_view text) {
  std::vector<unsigned> cpus;
  while (!text.empty()) {
    const std::string_view range = text.substr(0, text.find(','));
    text.remove_prefix(std::min(range.size() + 1, text.size()));
    const size_t dash = range.find('-');
    const auto first = ReadNumber(range);
    const auto last = dash == range.npos ? first : ReadNumber(range.substr(dash + 1));
    for (int cpu = first.value_or(0); cpu <= last.value_or(-1); ++cpu)
      cpus.push_back(static_cast<unsigned>(cpu));
  }
  return cpus;
}

Result<std::optional<unsigned>> FindNumaNode(const std::string& text, const std::string& interface_name) {
  if (text == "none") return std::nullopt;
  if (text == "auto") {
    const auto found = ReadTextFile("/sys/class/net/" + interface_name + "/device/numa_node", kMaxListBytes);
    const auto node = found ? ReadNumber(*found) : std::nullopt;
    if (node.value_or(-1) >= 0) return static_cast<unsigned>(*node);
    STENO_INFO("interface {} belongs to no NUMA node: threads and memory stay where they are",
               interface_name);
    return std::nullopt;
  }
  const auto node = ReadNumber(text);
  const bool number = node.value_or(-1) >= 0 && static_cast<unsigned>(*node) < kMaxNodes &&
                      text.find_first_not_of("0123456789") == text.npos;
  if (number && ::access(NodePath(static_cast<unsigned>(*node)).c_str(), F_OK) == 0)
    return static_cast<unsigned>(*node);
  const auto online = ReadTextFile("/sys/devices/system/node/online", kMaxListBytes);
  return Fail(Error::Invalid(fmt::format("--numa_node={}: expected auto, none or one of the nodes {}", text,
                                         online ? online->substr(0, online->find('\n')) : "(none known)")));
}

void StayOnNumaNode(unsigned node) {
  const NodeMask mask(node);
  if (::syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask.words(), NodeMask::kBits) != 0)
    WarnOfRefusal(node, "set_mempolicy");
  const auto list = ReadTextFile(NodePath(node) + "/cpulist", kMaxListBytes);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const unsigned cpu : ParseCpuList(list.value_or(""))) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &cpus);
  }
  if (CPU_COUNT(&cpus) == 0) {
    STENO_WARN("NUMA node {} has no CPUs: threads run anywhere", node);
  } else if (::sched_setaffinity(0, sizeof cpus, &cpus) != 0) {
    WarnOfRefusal(node, "sched_setaffinity");
  } else {
    STENO_INFO("threads and memory stay on NUMA node {}, CPUs {}", node, list->substr(0, list->find('\n')));
  }
}

void PlaceOnNumaNode(unsigned node, std::span<uint8_t> memory) {
  const NodeMask mask(node);
  if (::syscall(SYS_mbind, memory.data(), memory.size(), MPOL_PREFERRED, mask.words(), NodeMask::kBits, 0) !=
      0)
    WarnOfRefusal(node, "mbind");
}

}  // namespace steno
