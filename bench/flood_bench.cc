// A long flood of new flows, as fast as one core can: segment after segment is filled and sealed as
// capture does, and the most memory that this ever took is printed. The index is written to a temporary
// directory, one file that is replaced again and again.
// Usage: flood_bench [PACKETS [ipv6]]   (default: a minute of 1.2 Mpps; 4320000000: an hour of it)
#include <fmt/format.h>
#include <malloc.h>

#include <cstdlib>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mapping.h"
#include "frame_stream.h"
#include "index/builder.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "meter.h"
#include "testing/temp_dir.h"

namespace steno::bench {
namespace {

constexpr uint64_t kMinute = 72'000'000;

// Fills the segment; the packets that it took.
uint64_t Fill(const SegmentMemory& segment, IndexBuilder& builder, BlockStream& stream) {
  segment.Reset(1, 1, "");
  builder.Begin(&segment);
  uint64_t packets = 0;
  uint64_t offset = 0;
  uint32_t blocks = 0;
  while (!builder.full()) {
    const std::span<const uint8_t> block = stream.Next();
    builder.AddBlock(block, offset, 0);
    offset += AlignUp(block.size(), kDiskAlignment);
    packets += stream.packets();
    ++blocks;
  }
  builder.Publish(blocks);
  return packets;
}

void Flood(uint64_t wanted, bool ipv6) {
  const testing::TempDir directory;
  BlockStream stream(MakeFlood(ipv6));
  ::malloc_trim(0);
  ResetPeak();
  const uint64_t before = StatusBytes("VmRSS");
  const Mapping memory = Mapping::Anonymous(SegmentBytes()).value();
  const SegmentMemory segment = SegmentMemory::At(memory.bytes());
  IndexBuilder builder = IndexBuilder::Create().value();
  Sealer sealer = Sealer::Create().value();
  uint64_t packets = 0;
  uint64_t segments = 0;
  uint64_t bytes = 0;
  Meter meter;
  meter.Start();
  for (; packets < wanted; ++segments) {
    packets += Fill(segment, builder, stream);
    STENO_CHECK(sealer.Seal(SegmentSnapshot::Take(segment).value(), directory.path(), "1").has_value());
    bytes += ReadIndexSummary(directory.path() + "/1").value().index_bytes;
  }
  const auto count = static_cast<double>(packets);
  fmt::print(
      "{} packets, {} segments, {:.0f} s of CPU with making the frames; {:.2f} bytes of index per packet\n",
      packets, segments, static_cast<double>(meter.Stop().ns) / kNsPerSecond,
      static_cast<double>(bytes) / count);
  // A second segment is filled while one is sealed.
  fmt::print("memory at most: {} MiB, and {} MiB of a second segment\n",
             (StatusBytes("VmHWM") - before) >> 20, SegmentBytes() >> 20);
}

}  // namespace
}  // namespace steno::bench

int main(int argc, char** argv) {
  const uint64_t packets = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : steno::bench::kMinute;
  steno::bench::Flood(packets, argc > 2 && std::string_view(argv[2]) == "ipv6");
}
