// The flags of stenotype: those of the incumbent with their meaning, and a few of our own.
//
// Plain values; parsing has no side effects: users, groups and interfaces are looked up later.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace steno {

enum class Direction : uint8_t { kBoth, kIn, kOut };
enum class TimestampSource : uint8_t { kKernel, kNic, kAuto };
enum class SeccompMode : uint8_t { kNone, kTrace, kKill };

// Values of PACKET_FANOUT (<linux/if_packet.h>): the type in the low byte, flags above it.
inline constexpr uint32_t kFanoutHash = 0;
inline constexpr uint32_t kFanoutFlagRollover = 0x1000;

struct CaptureOptions {
  std::string directory;                // holds PKT<n> and IDX<n> for every thread
  std::string interface_name;           // or a peer (tcp_peer.h); empty if there are files
  std::vector<std::string> read_files;  // read instead of an interface; "-": standard input
  unsigned threads = 1;
  unsigned blocks = 1024;  // ring blocks, over all threads
  uint32_t block_kb = 1024;
  double block_age_sec = 1;    // a packet waits at most this long for its block to be written
  unsigned write_queue = 128;  // writes in flight per thread (--aiops)
  int64_t packet_limit = -1;   // stop after so many packets over all threads; -1: never
  int64_t file_age_sec = 60;
  std::optional<uint64_t> file_mb;         // unset: chosen from the size of the file system
  std::optional<uint64_t> preallocate_mb;  // unset or 0: the file size
  uint32_t fanout_type = kFanoutHash;
  uint16_t fanout_id = 0;  // 0: a number of this process' own
  std::string filter;      // an expression of tcpdump or a program in hexadecimal; empty: everything
  uint32_t snaplen = 0;    // bytes to record of each packet; 0: all
  TimestampSource timestamp_source = TimestampSource::kKernel;
  std::string user;
  std::string group;
  bool index = true;
  int index_nice = 0;
  bool promiscuous = true;
  Direction direction = Direction::kBoth;
  SeccompMode seccomp = SeccompMode::kKill;
  int64_t stats_sec = 60;       // 0: no statistics lines
  uint64_t stats_blocks = 100;  // 0: no lines about the fill of blocks
  int verbosity = 0;            // -v minus -q
  std::string io_engine = "auto";
  std::vector<unsigned> cpus;      // thread n runs on cpus[n]; empty: anywhere
  std::string numa_node = "none";  // a number, "auto" (the interface's) or "none"
  // Other processes may record into the same directories: this one's threads are first_slot, first_slot + 1,
  // ... of all `slots` threads; 0: of its own. Logs and block headers number threads so.
  unsigned first_slot = 0;
  unsigned slots = 0;
  std::vector<int> arena_fds;  // one per thread, or empty
  int parent_fd = -1;          // end of file here means: stop

  // Packets come from files or a peer, not from an interface.
  [[nodiscard]] bool from_stream() const;
  // Ring blocks of each thread.
  [[nodiscard]] unsigned blocks_per_thread() const;
  // Threads of all processes that record into these directories.
  [[nodiscard]] unsigned all_slots() const { return slots == 0 ? first_slot + threads : slots; }
};

// Work on what is recorded, instead of recording (capture/upkeep.h).
struct UpkeepOptions {
  enum class What : uint8_t { kNothing, kReindex, kVerify };
  What what = What::kNothing;
  std::string directory;        // holds PKT<n> and IDX<n>; with an index directory: packet files
  std::string index_directory;  // empty: the IDX<n>
  bool all = false;             // kReindex: also where there is nothing wrong
};

struct ParsedFlags {
  CaptureOptions options;
  UpkeepOptions upkeep;               // kNothing: record
  std::string help;                   // not empty: print this and exit successfully
  std::vector<std::string> warnings;  // flags that are accepted and do nothing
};

// `arguments` without the program's name. kInvalid names the flag and what it takes.
Result<ParsedFlags> ParseCaptureFlags(std::span<const char* const> arguments);

}  // namespace steno
