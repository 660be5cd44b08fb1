// What it costs to look one host up in a store of many files: start-up, then queries with cold and warm
// caches, at several limits of the memory for what is kept of indexes. The store is synthetic: every file has
// a sealed index of about 1.2 MB (700,000 packets, 51,000 flows) and a packet file of one block; the host
// that is asked for is in a few of them. Usage: lookup_bench [--files=10000]
// [--directory=/var/tmp/steno-lookup-bench] [--keep] Times are elapsed; of warm queries the median of 9. Cold
// means that the kernel's caches were dropped (needs root).
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mapping.h"
#include "frame_stream.h"
#include "index/builder.h"
#include "index/sealer.h"
#include "query/execute.h"
#include "query/parse.h"
#include "query/store.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"

namespace steno::bench {
namespace {

constexpr uint64_t kFirstId = 1'700'000'000'000'000;
constexpr int64_t kNsPerFile = 60 * kNsPerSecond;
constexpr uint64_t kPackets = 700'000;
constexpr uint32_t kFlows = 51'000;
constexpr uint64_t kHitEvery = 2500;    // files from one that has the host to the next
constexpr uint32_t kHost = 0xc0000201;  // 192.0.2.1
constexpr uint32_t kOtherHost = 0xc0000202;
constexpr uint64_t kNeededBytes = 1'400'000;  // of disk for a file
constexpr uint64_t kSpareBytes = uint64_t{30} << 30;

struct Options {
  uint64_t files = 10'000;
  std::string directory = "/var/tmp/steno-lookup-bench";
  bool keep = false;
};

bool HasHost(uint64_t file) { return file % kHitEvery == kHitEvery / 2; }
uint64_t IdOf(uint64_t file) { return kFirstId + file * (kNsPerFile / kNsPerUs); }

// The one block that is on disk: two packets between the host, or another one, and 192.0.2.9.
testing::BlockBuilder MakeFirstBlock(uint64_t file) {
  const auto frame = testing::PacketBuilder()
                         .Ethernet()
                         .Ipv4(HasHost(file) ? "192.0.2.1" : "192.0.2.2", "192.0.2.9")
                         .Udp(1000, 53)
                         .Build();
  testing::BlockBuilder block;
  for (int i = 0; i < 2; ++i) STENO_CHECK(block.Add(frame, static_cast<int64_t>(IdOf(file)) * kNsPerUs + i));
  return block;
}

// A segment that begins with MakeFirstBlock(), and that can be turned into those of other files.
class Prototype {
 public:
  Prototype()
      : memory_(Mapping::Anonymous(SegmentBytes()).value()), segment_(SegmentMemory::At(memory_.bytes())) {
    segment_.Reset(1, 1, "");
    IndexBuilder builder = IndexBuilder::Create().value();
    builder.Begin(&segment_);
    builder.AddBlock(MakeFirstBlock(0).Block(), 0, 0);
    uint64_t offset = kGranuleBytes;  // what a query reads of the first block is all on disk
    uint32_t blocks = 1;
    BlockStream stream(
        MakeConversations({.flows = kFlows, .frame_bytes = ImixBytes(), .packets_per_round = kPackets}));
    for (uint64_t packets = 0; packets < kPackets; packets += stream.packets(), ++blocks) {
      const auto block = stream.Next();
      builder.AddBlock(block, offset, 0);
      offset += AlignUp(block.size(), kDiskAlignment);
    }
    builder.Publish(blocks);
    const SegmentSnapshot snapshot = SegmentSnapshot::Take(segment_).value();
    keys_.assign(snapshot.key_heap.begin(), snapshot.key_heap.end());
  }

  // The segment of a file: other addresses, in the same order, and other times.
  SegmentSnapshot Become(uint64_t file) {
    const auto distance = static_cast<uint32_t>(file * 9973 % 0x4000'0000);
    for (size_t at = kV4FlowKeyBytes; at < keys_.size(); at += kV4FlowKeyBytes) {
      for (const size_t place : {at, at + sizeof(uint32_t)})
        StoreLe(segment_.key_heap + place, LoadLe<uint32_t>(keys_.data() + place) + distance);
    }
    StoreLe(segment_.key_heap, HasHost(file) ? kHost : kOtherHost);
    int64_t time_ns = static_cast<int64_t>(IdOf(file)) * kNsPerUs;
    for (uint32_t i = 0; i < segment_.header->published_blocks; ++i, time_ns += kNsPerMs) {
      segment_.blocks[i].entry.first_ns = time_ns;
      segment_.blocks[i].entry.last_ns = time_ns + 1;
    }
    segment_.header->file_id = segment_.header->file_tag = IdOf(file);
    return SegmentSnapshot::Take(segment_).value();
  }

 private:
  Mapping memory_;
  SegmentMemory segment_;
  std::vector<uint8_t> keys_;
};

StoreDirectory MakeStore(const Options& options) {
  const StoreDirectory directory{options.directory + "/packets", options.directory + "/index"};
  std::filesystem::create_directories(directory.packets_directory);
  std::filesystem::create_directories(directory.index_directory);
  Prototype prototype;
  Sealer sealer = Sealer::Create().value();
  uint64_t made = 0;
  for (uint64_t file = 0; file < options.files; ++file) {
    const std::string name = std::to_string(IdOf(file));
    if (std::filesystem::exists(directory.packets_directory + "/" + name)) continue;
    STENO_CHECK(sealer.Seal(prototype.Become(file), directory.index_directory, name).has_value());
    const auto block = MakeFirstBlock(file).Finish(IdOf(file), IdOf(file), 0, 0);
    std::ofstream(directory.packets_directory + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(block.size()));
    ++made;
  }
  fmt::print("{} files, {} of them new; an index has {} bytes\n", options.files, made,
             std::filesystem::file_size(directory.index_directory + "/" + std::to_string(kFirstId)));
  return directory;
}

// False if it is not allowed.
bool DropCaches() {
  ::sync();
  std::ofstream drop("/proc/sys/vm/drop_caches");
  drop << "3" << std::flush;
  return drop.good();
}

double MsSince(int64_t start_ns) { return static_cast<double>(MonotonicNs() - start_ns) / 1e6; }

struct Asked {
  double ms = 0;
  QueryStats stats;
};

Asked AskFor(const std::string& text, Store& store) {
  const ExpressionPtr expression = ParseQuery(text, WallNs()).value();
  Asked asked;
  const int64_t start_ns = MonotonicNs();
  const StoreSnapshot snapshot = store.Snapshot();
  const Status done = ExecuteQuery(
      *expression, snapshot, {}, [](const PacketView&, const PacketSource&) { return true; }, asked.stats);
  STENO_CHECK(done.has_value());
  asked.ms = MsSince(start_ns);
  return asked;
}

void Report(const std::string& text, const char* state, const Asked& asked) {
  fmt::print("  {:28} {} {:7.1f} ms: {} packets; of {} files {} ruled out, {} opened; {} problems\n", text,
             state, asked.ms, asked.stats.packets_matched, asked.stats.files_considered,
             asked.stats.files_ruled_out, asked.stats.files_opened, asked.stats.problems.size());
}

void MeasureStartup(const StoreDirectory& directory, const Store::Options& options, const char* state) {
  const int64_t start_ns = MonotonicNs();
  Store store({directory}, options);
  (void)store.Snapshot();
  fmt::print("  start-up                     {} {:7.1f} ms\n", state, MsSince(start_ns));
}

void Measure(uint64_t cache_mb, const StoreDirectory& directory) {
  const Store::Options options{.index_cache_bytes = cache_mb << 20};
  Store store({directory}, options);
  (void)store.Snapshot();
  const IndexCache::Totals cache = store.totals().index_cache;
  fmt::print("IndexCacheMB {}: {} MiB kept, the filters of {} files, the fences of {} more\n", cache_mb,
             cache.bytes >> 20, cache.files_with_filters, cache.files_with_fences);
  if (DropCaches()) MeasureStartup(directory, options, "cold");
  MeasureStartup(directory, options, "warm");
  for (const std::string text : {"host 192.0.2.1", "host 198.51.100.7", "host 192.0.2.1 and port 53"}) {
    if (DropCaches()) Report(text, "cold", AskFor(text, store));
    std::vector<Asked> warm;
    for (int i = 0; i < 9; ++i) warm.push_back(AskFor(text, store));
    std::ranges::sort(warm, {}, &Asked::ms);
    Report(text, "warm", warm[warm.size() / 2]);
  }
}

Options ReadOptions(int argc, char** argv) {
  constexpr std::string_view kFiles = "--files=";
  constexpr std::string_view kDirectory = "--directory=";
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--keep") options.keep = true;
    if (argument.starts_with(kDirectory)) options.directory = argument.substr(kDirectory.size());
    if (argument.starts_with(kFiles))
      (void)std::from_chars(argument.data() + kFiles.size(), argument.data() + argument.size(),
                            options.files);
  }
  return options;
}

void Run(const Options& options) {
  std::filesystem::create_directories(options.directory);
  struct statvfs disk{};
  STENO_CHECK(::statvfs(options.directory.c_str(), &disk) == 0);
  const uint64_t free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  const uint64_t needed_bytes = options.files * kNeededBytes + kSpareBytes;
  if (free_bytes < needed_bytes) {
    fmt::print("left out: {} files need {} GiB free in {}, there are {}\n", options.files, needed_bytes >> 30,
               options.directory, free_bytes >> 30);
    return;
  }
  const StoreDirectory directory = MakeStore(options);
  for (const uint64_t cache_mb : {512, 16, 0}) Measure(cache_mb, directory);
  if (!options.keep) std::filesystem::remove_all(options.directory);
}

}  // namespace
}  // namespace steno::bench

int main(int argc, char** argv) { steno::bench::Run(steno::bench::ReadOptions(argc, argv)); }
