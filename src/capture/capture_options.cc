#include "capture/capture_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "capture/tcp_peer.h"
#include "storage/block_format.h"

namespace steno {
namespace {

constexpr unsigned kMinBlocksPerThread = 8;
// The kernel counts the blocks of a ring in 16 bits (af_packet.c: kactive_blk_num).
constexpr unsigned kMaxBlocksPerThread = 65536;
constexpr unsigned kMaxThreads = 256;  // members of a fanout group
constexpr unsigned kMaxSlots = 65536;  // threads in block headers have 16 bits
constexpr uint32_t kMinSnaplen = 64;   // headers that an index can be made of
constexpr uint32_t kMinBlockKb = 16;
constexpr uint32_t kMaxBlockKb = kMaxBlockBytes / 1024;

// Flags as text where the text needs a second look.
struct RawFlags {
  uint64_t file_mb = 0;
  uint64_t preallocate_mb = 0;
  std::string fanout_type = "hash";
  std::string direction = "both";
  std::string timestamp_source = "kernel";
  std::string seccomp = "kill";
  std::string testimony;
  std::string reindex;
  std::string verify;
  int verbose = 0;
  int quiet = 0;
  bool no_index = false;
  bool no_promisc = false;
  bool no_watchdogs = false;
  bool usage = false;
};

void DeclareIncumbentFlags(CLI::App& app, CaptureOptions& options, RawFlags& raw) {
  app.add_option("--dir", options.directory, "Directory that holds PKT<n> and IDX<n> for every thread n");
  app.add_option("--iface", options.interface_name,
                 "Interface to read packets from, or tcp@HOST:PORT for PCAP-over-IP");
  app.add_option("--threads", options.threads, "Number of capture threads")->capture_default_str();
  app.add_option("--blocks", options.blocks, "Number of ring blocks, over all threads")
      ->capture_default_str();
  app.add_option("--blocksize_kb", options.block_kb, "Size of a ring block in KiB")->capture_default_str();
  app.add_option("--blockage_sec", options.block_age_sec,
                 "A block is written at least every so many seconds; at most 1 is used");
  app.add_option("--aiops", options.write_queue, "Writes in flight per thread")->capture_default_str();
  app.add_option("--count", options.packet_limit, "Stop after so many packets, -1 to run for ever")
      ->capture_default_str();
  app.add_option("--fileage_sec", options.file_age_sec, "A file is complete after so many seconds")
      ->capture_default_str();
  app.add_option(
      "--filesize_mb", raw.file_mb,
      "A file is complete at so many MiB; default: 4096, or 1/16 of the file system if that is less");
  app.add_option("--preallocate_file_mb", raw.preallocate_mb,
                 "MiB to allocate per file; default: its full size");
  app.add_option("--fanout_type", raw.fanout_type,
                 "How threads share packets: hash, lb, cpu, rollover, rnd, qm or the kernel's number")
      ->capture_default_str();
  app.add_option("--fanout_id", options.fanout_id, "Fanout group, to share packets with other processes");
  app.add_option(
      "--filter", options.filter,
      "Packets to record: an expression of tcpdump (see pcap-filter), or compiled BPF in hexadecimal "
      "(tcpdump -ddd, printed %04x%02x%02x%08x)");
  app.add_option("--uid", options.user, "User (name or number) to run as after set-up");
  app.add_option("--gid", options.group, "Group (name or number) to run as after set-up");
  app.add_option("--index_nicelevel", options.index_nice, "Nice level of the sealing threads")
      ->capture_default_str();
  app.add_flag("--no_index", raw.no_index, "Write no indexes: queries then scan whole files");
  app.add_flag("--no_promisc", raw.no_promisc, "Leave the interface out of promiscuous mode");
  app.add_flag("--no_watchdogs", raw.no_watchdogs, "Accepted, without effect: there are no watchdogs");
  app.add_option("--seccomp", raw.seccomp, "System call filter: none, trace (log only) or kill")
      ->capture_default_str();
  app.add_option("--stats_sec", options.stats_sec, "Seconds between statistics lines (with -v), 0 for none")
      ->capture_default_str();
  app.add_option("--stats_blocks", options.stats_blocks,
                 "Blocks between lines about their fill (with -v -v), 0 for none")
      ->capture_default_str();
  app.add_option("--testimony", raw.testimony, "Not supported");
  app.add_flag("-v", raw.verbose, "More log lines; may be repeated");
  app.add_flag("-q", raw.quiet, "Fewer log lines; each takes one -v back");
  app.add_flag("--usage", raw.usage, "Print this text");
}

void DeclareOwnFlags(CLI::App& app, CaptureOptions& options, RawFlags& raw) {
  app.add_option("--read", options.read_files,
                 "Record these pcap or pcapng files (-: standard input) and exit; may be repeated");
  app.add_option("--direction", raw.direction, "Packets to record: both, in or out")->capture_default_str();
  app.add_option("--io_engine", options.io_engine, "How to write: auto, io_uring, libaio or pwrite")
      ->capture_default_str();
  app.add_option("--snaplen", options.snaplen, "Bytes to record of each packet, 0 for all")
      ->capture_default_str();
  app.add_option(
         "--timestamp_source", raw.timestamp_source,
         "Whose clock packets are stamped by: kernel, nic, or auto (nic if it can and its clock is right)")
      ->capture_default_str();
  app.add_option("--cpus", options.cpus, "CPU of each capture thread")->delimiter(',');
  app.add_option("--numa_node", options.numa_node,
                 "Keep threads and memory on this node: its number, auto (the interface's) or none")
      ->capture_default_str();
  app.add_option("--first_slot", options.first_slot,
                 "Number of this process' first thread among all --slots");
  app.add_option("--slots", options.slots,
                 "Threads of all processes that record into these directories; 0: only ours");
  app.add_option("--arena_fds", options.arena_fds, "Inherited memory of each thread's live index")
      ->delimiter(',');
  app.add_option("--parent_fd", options.parent_fd, "Pipe whose end of file means: stop");
}

void DeclareUpkeepFlags(CLI::App& app, UpkeepOptions& upkeep, RawFlags& raw) {
  app.add_option(
      "--reindex", raw.reindex,
      "Do not record: make the indexes that are missing or unusable in this directory, which holds "
      "PKT<n> and IDX<n> (or packet files, with --index_dir)");
  app.add_option("--verify", raw.verify,
                 "Do not record: check the packet files and indexes of this directory; changes nothing");
  app.add_option("--index_dir", upkeep.index_directory,
                 "For --reindex and --verify: directory of the indexes");
  app.add_flag("--all", upkeep.all, "For --reindex: make all indexes anew");
}

Status FinishUpkeep(const RawFlags& raw, UpkeepOptions& upkeep) {
  using What = UpkeepOptions::What;
  if (!raw.reindex.empty() && !raw.verify.empty())
    return Fail(Error::Invalid("--reindex and --verify are both given: expected one of them"));
  upkeep.what = !raw.reindex.empty() ? What::kReindex : !raw.verify.empty() ? What::kVerify : What::kNothing;
  upkeep.directory = raw.reindex + raw.verify;
  if (upkeep.what == What::kNothing && !upkeep.index_directory.empty())
    return Fail(Error::Invalid("--index_dir goes with --reindex or --verify only"));
  if (upkeep.what != What::kReindex && upkeep.all)
    return Fail(Error::Invalid("--all goes with --reindex only"));
  return {};
}

template <class T>
Result<T> Choose(std::string_view flag, const std::string& text,
                 const std::map<std::string_view, T>& choices) {
  if (const auto found = choices.find(text); found != choices.end()) return found->second;
  std::string expected;
  for (const auto& choice : choices)
    expected += fmt::format("{}{}", expected.empty() ? "" : ", ", choice.first);
  return Fail(Error::Invalid(fmt::format("{}={}: expected one of {}", flag, text, expected)));
}

// Types that need a program (6, 7) and reassembly (0x8000), which would record packets that were never on the
// wire, are refused.
Result<uint32_t> ParseFanoutType(const std::string& text) {
  static const std::map<std::string_view, uint32_t> kNames = {{"hash", 0},     {"lb", 1},  {"cpu", 2},
                                                              {"rollover", 3}, {"rnd", 4}, {"qm", 5}};
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) {
    if ((number & ~kFanoutFlagRollover) <= 5) return number;
    return Fail(Error::Invalid(fmt::format("--fanout_type={}: expected 0..5, plus 4096 for rollover", text)));
  }
  return Choose("--fanout_type", text, kNames);
}

Status CheckRange(std::string_view flag, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return Fail(Error::Invalid(fmt::format("{}={}: expected {}..{}", flag, value, low, high)));
}

Status CheckThreadLists(const CaptureOptions& options) {
  if (!options.arena_fds.empty() && options.arena_fds.size() != options.threads) {
    return Fail(
        Error::Invalid(fmt::format("--arena_fds names {} descriptors, expected one for each of {} threads",
                                   options.arena_fds.size(), options.threads)));
  }
  if (!options.cpus.empty() && options.cpus.size() != options.threads) {
    return Fail(Error::Invalid(fmt::format("--cpus names {} CPUs, expected one for each of {} threads",
                                           options.cpus.size(), options.threads)));
  }
  return {};
}

// A stream has one order, no direction, and nobody to share its packets with.
Status CheckStream(const CaptureOptions& options) {
  if (!options.from_stream()) return {};
  const char* const flag = options.read_files.empty() ? "--iface=tcp@HOST:PORT" : "--read";
  if (options.threads != 1) {
    return Fail(Error::Invalid(fmt::format("{} works with --threads=1 only, not {}", flag, options.threads)));
  }
  if (options.direction != Direction::kBoth) {
    return Fail(Error::Invalid(fmt::format("{} knows no direction: expected --direction=both", flag)));
  }
  if (options.timestamp_source == TimestampSource::kNic) {
    return Fail(
        Error::Invalid(fmt::format("{} brings its own times: expected no --timestamp_source=nic", flag)));
  }
  if (std::ranges::count(options.read_files, "-") > 1) {
    return Fail(Error::Invalid("--read=- is given twice: there is one standard input"));
  }
  if (!options.read_files.empty()) return {};
  STENO_TRY([[maybe_unused]] const TcpPeer peer, ParseTcpPeer(options.interface_name));
  return {};
}

Status CheckOptions(const CaptureOptions& options) {
  if (options.directory.empty())
    return Fail(Error::Invalid("--dir is missing: expected the directory of PKT0 and IDX0"));
  if (options.interface_name.empty() && options.read_files.empty())
    return Fail(Error::Invalid("--iface is missing: expected an interface name (or --read and files)"));
  if (!options.interface_name.empty() && !options.read_files.empty())
    return Fail(Error::Invalid("--iface and --read are both given: expected one of them"));
  STENO_CHECK_OK(CheckRange("--threads", options.threads, 1, kMaxThreads));
  STENO_CHECK_OK(CheckRange("--blocks", options.blocks, 1, int64_t{kMaxBlocksPerThread} * options.threads));
  STENO_CHECK_OK(CheckRange("--blocksize_kb", options.block_kb, kMinBlockKb, kMaxBlockKb));
  if (options.block_kb % 4 != 0) {
    return Fail(Error::Invalid(fmt::format("--blocksize_kb={}: expected a multiple of 4", options.block_kb)));
  }
  STENO_CHECK_OK(CheckRange("--aiops", options.write_queue, 1, 4096));
  STENO_CHECK_OK(CheckRange("--count", options.packet_limit, -1, INT64_MAX));
  STENO_CHECK_OK(CheckRange("--fileage_sec", options.file_age_sec, 1, 365 * 86400));
  if (options.file_mb) {
    STENO_CHECK_OK(
        CheckRange("--filesize_mb", static_cast<int64_t>(*options.file_mb), 1, kMaxFileBytes >> 20));
  }
  if (options.preallocate_mb) {
    STENO_CHECK_OK(
        CheckRange("--preallocate_file_mb", static_cast<int64_t>(*options.preallocate_mb), 0, 1 << 20));
  }
  STENO_CHECK_OK(CheckRange("--index_nicelevel", options.index_nice, -20, 19));
  STENO_CHECK_OK(CheckRange("--stats_sec", options.stats_sec, 0, 365 * 86400));
  if (options.snaplen != 0) STENO_CHECK_OK(CheckRange("--snaplen", options.snaplen, kMinSnaplen, 262144));
  if (options.slots != 0) STENO_CHECK_OK(CheckRange("--slots", options.slots, options.threads, kMaxSlots));
  STENO_CHECK_OK(
      CheckRange("--first_slot", options.first_slot, 0, int64_t{options.all_slots()} - options.threads));
  if (!(options.block_age_sec > 0)) return Fail(Error::Invalid("--blockage_sec: expected seconds above 0"));
  STENO_CHECK_OK(CheckThreadLists(options));
  return CheckStream(options);
}

Status Finish(const CLI::App& app, const RawFlags& raw, ParsedFlags& parsed) {
  CaptureOptions& options = parsed.options;
  if (app.count("--testimony") > 0) {
    return Fail(Error::Invalid("--testimony is not supported: give the interface with --iface"));
  }
  STENO_TRY(options.fanout_type, ParseFanoutType(raw.fanout_type));
  STENO_TRY(
      options.direction,
      Choose<Direction>("--direction", raw.direction,
                        {{"both", Direction::kBoth}, {"in", Direction::kIn}, {"out", Direction::kOut}}));
  STENO_TRY(options.timestamp_source, Choose<TimestampSource>("--timestamp_source", raw.timestamp_source,
                                                              {{"auto", TimestampSource::kAuto},
                                                               {"kernel", TimestampSource::kKernel},
                                                               {"nic", TimestampSource::kNic}}));
  STENO_TRY(options.seccomp, Choose<SeccompMode>("--seccomp", raw.seccomp,
                                                 {{"none", SeccompMode::kNone},
                                                  {"trace", SeccompMode::kTrace},
                                                  {"kill", SeccompMode::kKill}}));
  STENO_TRY(options.io_engine,
            Choose<std::string>(
                "--io_engine", options.io_engine,
                {{"auto", "auto"}, {"io_uring", "io_uring"}, {"libaio", "libaio"}, {"pwrite", "pwrite"}}));
  if (app.count("--filesize_mb") > 0) options.file_mb = raw.file_mb;
  if (app.count("--preallocate_file_mb") > 0) options.preallocate_mb = raw.preallocate_mb;
  options.index = !raw.no_index;
  options.promiscuous = !raw.no_promisc;
  options.verbosity = raw.verbose - raw.quiet;
  options.block_age_sec = std::min(options.block_age_sec, 1.0);
  if (raw.no_watchdogs) parsed.warnings.emplace_back("--no_watchdogs has no effect: there are no watchdogs");
  return CheckOptions(options);
}

}  // namespace

bool CaptureOptions::from_stream() const { return !read_files.empty() || IsTcpPeer(interface_name); }

unsigned CaptureOptions::blocks_per_thread() const { return std::max(blocks / threads, kMinBlocksPerThread); }

Result<ParsedFlags> ParseCaptureFlags(std::span<const char* const> arguments) {
  ParsedFlags parsed;
  RawFlags raw;
  CLI::App app("Writes the packets of a network interface to disk and indexes them.", "stenotype");
  app.set_help_flag("-?,-h,--help", "Print this text");
  try {
    DeclareIncumbentFlags(app, parsed.options, raw);
    DeclareOwnFlags(app, parsed.options, raw);
    DeclareUpkeepFlags(app, parsed.upkeep, raw);
    // As the incumbent does; the server puts its flags behind those of the configuration.
    const auto takes_one = [](CLI::Option* option) { return option->get_items_expected_max() == 1; };
    for (CLI::Option* option : app.get_options(takes_one)) option->take_last();
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
    if (raw.usage) parsed.help = app.help();
  } catch (const CLI::CallForHelp&) {
    parsed.help = app.help();
  } catch (const CLI::ParseError& error) {
    return Fail(Error::Invalid(fmt::format("{} (see --help)", error.what())));
  }
  if (!parsed.help.empty()) return parsed;
  STENO_CHECK_OK(FinishUpkeep(raw, parsed.upkeep));
  if (parsed.upkeep.what != UpkeepOptions::What::kNothing) return parsed;
  STENO_CHECK_OK(Finish(app, raw, parsed));
  return parsed;
}

}  // namespace steno
