// traffic: sends made traffic out of an interface, as fast as one core can or at a rate, and says exactly
// what was sent.
//
//   traffic IFACE imix|flood|fixed|pcap [--pcap FILE...] [--seconds S] [--count N] [--pps N] [--cpu N]
//   [--flows N]
//           [--bytes N] [--tcp] [--seed N]
//
// The frames come from XDP live frames: bpf(2) BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES runs a
// program on frames that the kernel keeps, and what it answers with XDP_TX goes out
// (Documentation/bpf/bpf_prog_run.rst of the kernel; 5.18 and later). The interface must be able to send XDP
// frames: a veth needs `ethtool -K IFACE gro on` at both of its ends. Sending and the other end's receiving
// take place on this program's core, which it keeps busy at any rate: such a call takes some 25 ms to begin
// and to end, so there is one for all, and the program in it waits for the time of each frame.
//
// The report is one line of JSON. `sent` is the interface's own count of what it sent while this program ran,
// so nobody else should be sending from it; `link_drops` are frames that were made, but found the link full.
#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "bpf.h"
#include "pcap/pcap_reader.h"
#include "traffic_program.h"

namespace {

using namespace steno;
using namespace steno::bench;

constexpr uint32_t kBatch = 64;  // frames between two wake-ups of the receiver
constexpr auto kWatchInterval = std::chrono::milliseconds(1);
constexpr int64_t kSettleNs = 200 * kNsPerMs;  // for the last frames to get through

struct Options {
  std::string interface;
  ProgramOptions program;
  std::vector<std::string> files;
  double seconds = 10;
  uint64_t count = std::numeric_limits<uint64_t>::max();
  uint64_t packets_per_second = 0;  // 0: as fast as it goes
  int cpu = -1;                     // -1: anywhere
  uint64_t seed = 88172645463325252;
};

struct Loaded {
  uint64_t frames = 0;
  uint64_t skipped = 0;  // too long, too short or not Ethernet
};

// Frames the interface has sent since it exists.
Result<uint64_t> SentPackets(const std::string& interface) {
  std::ifstream table("/proc/thread-self/net/dev");
  for (std::string line; std::getline(table, line);) {
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(' ');
    if (colon == std::string::npos || line.substr(begin, colon - begin) != interface) continue;
    std::istringstream columns(line.substr(colon + 1));
    uint64_t value = 0;
    for (int column = 0; column < 10; ++column)
      columns >> value;  // 8 columns are about receiving; bytes; packets
    if (columns) return value;
  }
  return Fail(Error::NotFound("/proc/net/dev: no interface " + interface));
}

Status PinTo(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) return Fail(Error::System(fmt::format("CPU {}", cpu)));
  return {};
}

// All Ethernet frames of the files that fit.
Result<std::vector<StoredFrame>> ReadFrames(const std::vector<std::string>& files, Loaded& loaded) {
  std::vector<StoredFrame> frames;
  for (const std::string& file : files) {
    STENO_TRY(const auto reader, OpenPcap(file));
    for (;;) {
      const auto packet = reader->Next();
      if (!packet || *packet == nullptr) break;  // a damaged file is read up to the damage
      const auto& frame = (*packet)->frame;
      if ((*packet)->link_type != 1 || frame.size() < 14 || frame.size() > 1514) {
        ++loaded.skipped;
        continue;
      }
      StoredFrame& stored = frames.emplace_back();
      stored.bytes = static_cast<uint32_t>(frame.size());
      std::copy(frame.begin(), frame.end(), stored.frame.begin());
    }
  }
  loaded.frames = frames.size();
  if (frames.empty())
    return Fail(Error::Invalid("pcap: the files (--pcap) have no Ethernet frame that fits"));
  return frames;
}

// The program and its maps, loaded.
class Source {
 public:
  static Result<Source> Create(const Options& options, Loaded& loaded) {
    Source source;
    source.interface_ = ::if_nametoindex(options.interface.c_str());
    if (source.interface_ == 0) return Fail(Error::System(options.interface));
    ProgramOptions program = options.program;
    if (program.kind == Kind::kPcap) {
      STENO_TRY(const std::vector<StoredFrame> frames, ReadFrames(options.files, loaded));
      program.frames = static_cast<uint32_t>(frames.size());
      STENO_TRY(source.frames_, MappedArray::Create(sizeof(StoredFrame), program.frames));
      std::memcpy(source.frames_.bytes().data(), frames.data(), frames.size() * sizeof(StoredFrame));
    }
    STENO_TRY(source.state_, MappedArray::Create(sizeof(State), 1));
    source.state().random = std::max<uint64_t>(options.seed, 1);
    source.state().limit = options.count;
    program.paced = options.packets_per_second != 0;
    if (program.paced) {
      source.state().interval =
          (static_cast<uint64_t>(kNsPerSecond) << kTimeBits) / options.packets_per_second;
    }
    source.template_ = TemplateFrame(program);
    STENO_TRY(source.program_, LoadXdpProgram(MakeProgram(program, source.state_.fd(), source.frames_.fd())));
    return source;
  }

  // Sends until the limit is reached, or a signal comes, or (after a minute or more) the kernel's counter is
  // full.
  Status Send() {
    xdp_md context{};
    context.data_end = static_cast<uint32_t>(template_.size());
    context.ingress_ifindex = interface_;
    bpf_attr attributes{};
    attributes.test.prog_fd = static_cast<uint32_t>(program_.get());
    attributes.test.data_in = reinterpret_cast<uint64_t>(template_.data());
    attributes.test.data_size_in = static_cast<uint32_t>(template_.size());
    attributes.test.ctx_in = reinterpret_cast<uint64_t>(&context);
    attributes.test.ctx_size_in = sizeof context;
    attributes.test.repeat = std::numeric_limits<uint32_t>::max();
    attributes.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    attributes.test.batch_size = kBatch;
    if (Bpf(BPF_PROG_TEST_RUN, attributes) == 0 || errno == EINTR) return {};
    return Fail(
        Error::System("send XDP live frames (kernel 5.18; veth: ethtool -K IFACE gro on at both ends)"));
  }

  // The program writes it while Send() runs.
  [[nodiscard]] volatile State& state() const { return *reinterpret_cast<State*>(state_.bytes().data()); }

 private:
  unsigned interface_ = 0;
  MappedArray frames_;
  MappedArray state_;
  std::vector<uint8_t> template_;
  UniqueFd program_;
};

// Sends until the time or the count is over; returns the nanoseconds it took. A second thread watches both,
// and ends the call by a signal: again and again, for the first could come before the call.
Result<int64_t> SendAll(const Options& options, Source& source) {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> over = false;
  std::atomic<int64_t> end = 0;
  const pthread_t sender = ::pthread_self();
  const int64_t patience = static_cast<int64_t>(options.seconds * 1e9);
  std::jthread watcher([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(kWatchInterval);
      const volatile State& state = source.state();
      const int64_t now = MonotonicNs();
      const auto started = static_cast<int64_t>(state.started);
      if (started == 0 || (now - started < patience && state.made < state.limit)) continue;
      if (!over.exchange(true)) end = now;
      ::pthread_kill(sender, SIGUSR1);
    }
  });
  while (!over) STENO_CHECK_OK(source.Send());
  watcher.request_stop();
  watcher.join();
  return end - static_cast<int64_t>(source.state().started);
}

Status Run(const Options& options) {
  STENO_CHECK_OK(PinTo(options.cpu));
  Loaded loaded;
  STENO_TRY(Source source, Source::Create(options, loaded));
  STENO_TRY(const uint64_t before, SentPackets(options.interface));
  STENO_TRY(const int64_t took_ns, SendAll(options, source));
  uint64_t sent = 0;
  const int64_t patience = MonotonicNs() + kSettleNs;
  do {  // what found the link full never arrives: then this takes all of its time
    STENO_TRY(const uint64_t after, SentPackets(options.interface));
    sent = after - before;
  } while (sent < source.state().made && MonotonicNs() < patience);
  const volatile State& state = source.state();
  const uint64_t made = state.made;
  const double seconds = static_cast<double>(took_ns) / 1e9;
  fmt::print(
      R"({{"sent": {}, "made": {}, "made_bytes": {}, "failed": {}, "link_drops": {}, "seconds": {:.6f}, )"
      R"("pps": {:.0f}, "frames_loaded": {}, "frames_skipped": {}}})"
      "\n",
      sent, made, uint64_t{state.bytes}, uint64_t{state.failed}, made - std::min(sent, made), seconds,
      static_cast<double>(sent) / seconds, loaded.frames, loaded.skipped);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Sends made traffic out of an interface by XDP live frames.", "traffic");
  const std::map<std::string, Kind> kinds = {
      {"imix", Kind::kImix}, {"flood", Kind::kFlood}, {"fixed", Kind::kFixed}, {"pcap", Kind::kPcap}};
  app.add_option("IFACE", options.interface, "Interface to send from")->required();
  app.add_option("KIND", options.program.kind, "imix, flood, fixed or pcap")
      ->required()
      ->transform(CLI::CheckedTransformer(kinds));
  app.add_option("--pcap", options.files, "Capture files for the kind pcap");
  app.add_option("--seconds", options.seconds, "How long to send (10)");
  app.add_option("--count", options.count, "Packets to send at most");
  app.add_option("--pps", options.packets_per_second, "Packets per second; 0: as fast as possible");
  app.add_option("--cpu", options.cpu, "CPU to run on");
  app.add_option("--flows", options.program.flows, "Flows of imix and fixed (65536)")
      ->check(CLI::Range(uint32_t{1}, std::numeric_limits<uint32_t>::max()));
  app.add_option("--bytes", options.program.frame_bytes, "Frame size of flood and fixed (60)")
      ->check(CLI::Range(kMinFrameBytes, kMaxFrameBytes));
  app.add_flag("--tcp", options.program.tcp, "TCP SYN instead of UDP");
  app.add_option("--seed", options.seed, "Start of the random numbers");
  CLI11_PARSE(app, argc, argv);
  const Status status = Run(options);
  if (!status) fmt::print(stderr, "traffic: {}\n", status.error().message);
  return status ? 0 : 1;
}
