// The XDP programs of the traffic source: each run turns the frame that it finds into the next one of the
// traffic and sends it back out of the interface (XDP_TX). Their state is in a map, so it goes on from call
// to call.
//
// Plain functions; nothing here talks to the kernel.
#pragma once

#include <linux/bpf.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace steno::bench {

enum class Kind {
  kImix,   // UDP frames of 60, 594 and 1514 bytes, 9 : 4 : 3 of 16, of a number of flows
  kFlood,  // frames of a fixed size, the source address and port random in each
  kFixed,  // frames of a fixed size, of a number of flows
  kPcap,   // frames from a map of them, in their order, with other addresses in each round
};

struct ProgramOptions {
  Kind kind = Kind::kImix;
  uint32_t flows = 65536;
  uint32_t frame_bytes = 60;  // of flood and fixed
  bool tcp = false;           // SYN instead of UDP
  uint32_t frames = 0;        // of pcap: how many the map has
  bool paced = false;         // by State::interval
};

// The one value of the state map. What the user of the program sets comes first.
struct State {
  uint64_t random;    // not 0
  uint64_t limit;     // frames to make
  uint64_t interval;  // of a paced program: between frames, in units of 2^-kTimeBits ns
  uint64_t started;   // CLOCK_MONOTONIC of the first run in ns, 0 before that
  uint64_t due;       // of a paced program: the next frame's time since `started`, in units of `interval`
  uint64_t made;      // frames that went out of the program
  uint64_t bytes;     // of these
  uint64_t failed;    // frames that could not be made
  uint64_t index;     // of pcap: the next frame
  uint64_t round;     // of pcap: how often all have been sent
};
inline constexpr int kTimeBits = 10;

// A value of the frames map.
struct StoredFrame {
  static constexpr uint32_t kMaxBytes = 2048 - 8;
  uint32_t bytes;
  uint32_t reserved;
  std::array<uint8_t, kMaxBytes> frame;
};
static_assert(sizeof(StoredFrame) == 2048);

// The kernel fits frame and headroom into one page: this is less than that, and more than any MTU of 1500
// needs.
inline constexpr uint32_t kMaxFrameBytes = 3000;
inline constexpr uint32_t kMinFrameBytes = 60;

// The frame that the programs start from.
std::vector<uint8_t> TemplateFrame(const ProgramOptions& options);
std::vector<bpf_insn> MakeProgram(const ProgramOptions& options, int state_map, int frames_map);

}  // namespace steno::bench
