#include "query/store_builder_test.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "index/sealer.h"
#include "packet/decode.h"
#include "testing/block_builder.h"
#include "testing/random_frames.h"

namespace steno::testing {
namespace {

template <class T>
T Pick(std::mt19937_64& random, const std::vector<T>& pool) {
  return pool[random() % pool.size()];
}

bool OneIn(std::mt19937_64& random, unsigned n) { return random() % n == 0; }

AddressRange RandomAddresses(std::mt19937_64& random) {
  const bool v4 = OneIn(random, 2);
  const auto pick = [&] { return *ParseAddress(Pick(random, v4 ? PoolV4() : PoolV6())); };
  const Address address = pick();
  switch (random() % 3) {
    case 0:
      return {address, address};
    case 1:
      return Prefix(address, static_cast<unsigned>(random() % (v4 ? 33 : 129)));
    default:
      const Address other = pick();
      return {std::min(address, other), std::max(address, other)};
  }
}

Term RandomTerm(std::mt19937_64& random) {
  static const std::vector<uint8_t> layer_sets = {kLayerBitIpv4, kLayerBitIpv6, kLayerBitArp, kLayerBitsIp,
                                                  7};
  static const std::vector<uint8_t> protocols = {1, 4, 6, 17, 41, 47, 58, 132, 200};
  Term term;
  term.kind = static_cast<TermKind>(random() % 8);
  term.side = static_cast<Side>(random() % 4);
  term.layer_kinds = Pick(random, layer_sets);
  switch (term.kind) {
    case TermKind::kAddress:
      term.addresses = RandomAddresses(random);
      break;
    case TermKind::kPort:
      term.first = Pick(random, PoolPorts());
      term.last = OneIn(random, 3) ? 65535 : term.first;
      if (OneIn(random, 3)) term.protocol = OneIn(random, 2) ? 6 : 17;
      break;
    case TermKind::kProtocol:
      term.first = Pick(random, protocols);
      term.last = OneIn(random, 4) ? 255 : term.first;
      break;
    case TermKind::kVlan:
      term.first = static_cast<uint32_t>(random() % 5);
      term.last = OneIn(random, 3) ? 4095 : term.first;
      break;
    case TermKind::kMpls:
      term.first = static_cast<uint32_t>(16 + random() % 5);
      term.last = OneIn(random, 3) ? 0xfffff : term.first;
      break;
    case TermKind::kEtherType:
      term.first = Pick(random, std::vector<uint32_t>{0x0800, 0x86dd, 0x0806, 0x8847, 0x8864, 0});
      term.last = term.first;
      break;
    case TermKind::kMac:
      term.mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(1 + random() % 2)};
      break;
    case TermKind::kLayer:
      break;
  }
  return term;
}

TimeRange RandomTime(std::mt19937_64& random, int64_t begin_ns, int64_t end_ns) {
  const auto pick = [&] {
    return begin_ns + static_cast<int64_t>(random() % static_cast<uint64_t>(end_ns - begin_ns));
  };
  TimeRange range{pick(), pick()};
  if (range.begin_ns > range.end_ns && !OneIn(random, 10)) std::swap(range.begin_ns, range.end_ns);
  if (OneIn(random, 3)) range.begin_ns = INT64_MIN;
  if (OneIn(random, 3)) range.end_ns = INT64_MAX;
  return range;
}

// No packet is earlier than the first of its block by more than 10 ms.
bool FirstIsEarly(const TestBlocks& blocks) {
  return std::ranges::all_of(blocks, [](const std::vector<TestPacket>& block) {
    return std::ranges::all_of(block, [&](const TestPacket& packet) {
      return packet.time_ns >= block.front().time_ns - 10 * kNsPerMs;
    });
  });
}

}  // namespace

TestPacket MakePacket(std::mt19937_64& random, int64_t time_ns) {
  RandomFrame frame = OneIn(random, 8) ? MakeBrokenFrame(random) : MakeRandomFrame(random);
  TestPacket packet{time_ns, std::move(frame.bytes), frame.tag, 0};
  if (OneIn(random, 20)) packet.frame.resize(packet.frame.size() + 1400);
  if (OneIn(random, 200)) packet.frame.resize(packet.frame.size() + 9000 + random() % 60'000);
  packet.original_bytes = static_cast<uint32_t>(packet.frame.size() + (OneIn(random, 10) ? 100 : 0));
  return packet;
}

TestBlocks MakeBlocks(std::mt19937_64& random, size_t packets, int64_t first_ns, int64_t step_ns,
                      int64_t jitter_ns) {
  TestBlocks blocks;
  size_t left_in_block = 0;
  for (size_t i = 0; i < packets; ++i) {
    if (left_in_block-- == 0) {
      blocks.emplace_back();
      left_in_block = OneIn(random, 3) ? random() % 4 : random() % 1500;
    }
    const int64_t jitter = static_cast<int64_t>(random() % static_cast<uint64_t>(jitter_ns + 1));
    blocks.back().push_back(MakePacket(random, first_ns + static_cast<int64_t>(i) * step_ns + jitter));
  }
  return blocks;
}

StoreBuilder::StoreBuilder(size_t threads)
    : memory_(*Mapping::Anonymous(SegmentBytes())),
      segment_(SegmentMemory::At(memory_.bytes())),
      builder_(*IndexBuilder::Create()) {
  for (size_t thread = 0; thread < threads; ++thread) {
    directories_.push_back(
        {temp_.Make(fmt::format("pkt{}", thread)), temp_.Make(fmt::format("idx{}", thread))});
  }
}

std::string StoreBuilder::PacketPath(uint32_t thread, uint64_t id) const {
  return directories_[thread].packets_directory + "/" + std::to_string(id);
}

std::string StoreBuilder::IndexPath(uint32_t thread, uint64_t id) const {
  return directories_[thread].index_directory + "/" + std::to_string(id);
}

void StoreBuilder::Write(const std::string& path, uint64_t id, const TestBlocks& blocks, size_t published,
                         const SegmentMemory& segment, bool enclosing_times) {
  // Never the same twice: two files may well claim one name.
  const uint64_t tag = ++files_ * 0x9E3779B97F4A7C15u;
  segment.Reset(id, tag, HiddenName(id));
  builder_.Begin(&segment);
  const UniqueFd fd = *OpenFile(path, O_WRONLY | O_CREAT | O_EXCL);
  uint64_t offset = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    size_t bytes = 2 * kDiskAlignment;
    for (const TestPacket& packet : blocks[i]) bytes += packet.frame.size() + 128;
    BlockBuilder block(static_cast<uint32_t>(bytes / kDiskAlignment * kDiskAlignment));
    for (const TestPacket& packet : blocks[i]) {
      STENO_CHECK(block.Add(packet.frame, packet.time_ns, packet.tag, packet.original_bytes));
    }
    if (enclosing_times) block.UseEnclosingTimes();
    const std::vector<uint8_t> disk = block.Finish(id, tag, offset, i);
    STENO_CHECK(WriteFully(fd.get(), disk, offset, path));
    builder_.AddBlock(block.Block(), offset, 0);
    offset += disk.size();
  }
  builder_.Publish(static_cast<uint32_t>(published));
}

void StoreBuilder::AddFile(uint32_t thread, uint64_t id, const TestBlocks& blocks, IndexKind index) {
  const std::string path = PacketPath(thread, id);
  Write(path, id, blocks, blocks.size(), segment_, index == IndexKind::kNone && FirstIsEarly(blocks));
  Expect(thread, id, blocks, blocks.size());
  if (index == IndexKind::kNone) return;
  if (index == IndexKind::kOfAnotherFile) segment_.header->file_tag ^= 0x100;
  const auto snapshot = SegmentSnapshot::Take(segment_);
  STENO_CHECK(SealSegment(*snapshot, directories_[thread].index_directory, std::to_string(id)));
  if (index != IndexKind::kCorrupt) return;
  // The checksummed end, as a torn write leaves it.
  const std::string index_path = IndexPath(thread, id);
  std::filesystem::resize_file(index_path, std::filesystem::file_size(index_path) - 9);
}

void StoreBuilder::AddLive(uint32_t thread, uint64_t id, const TestBlocks& blocks, size_t published,
                           const Arena& arena, unsigned segment) {
  Write(directories_[thread].packets_directory + "/" + HiddenName(id), id, blocks, published,
        arena.segment(segment));
  Expect(thread, id, blocks, published);
}

void StoreBuilder::SealLive(uint32_t thread, uint64_t id, const std::string& final_name, const Arena& arena,
                            unsigned segment) {
  const SegmentMemory& memory = arena.segment(segment);
  memory.header->state.store(static_cast<uint32_t>(SegmentState::kSealing));
  const auto snapshot = SegmentSnapshot::Take(memory);
  STENO_CHECK(SealSegment(*snapshot, directories_[thread].index_directory, final_name));
  const std::string& directory = directories_[thread].packets_directory;
  STENO_CHECK(RenameFile(directory + "/" + HiddenName(id), directory + "/" + final_name));
}

void StoreBuilder::RecoverLive(uint32_t thread, uint64_t id, const TestBlocks& blocks) {
  Forget(thread, id);
  STENO_CHECK(
      RenameFile(directories_[thread].packets_directory + "/" + HiddenName(id), PacketPath(thread, id)));
  Expect(thread, id, blocks, blocks.size());
}

void StoreBuilder::Expect(uint32_t thread, uint64_t id, const TestBlocks& blocks, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    for (const TestPacket& packet : blocks[i]) {
      Recorded recorded{packet, {}, thread, id, order_++};
      Decode(packet.frame, packet.tag, recorded.headers);
      packets_.push_back(std::move(recorded));
    }
  }
  std::ranges::sort(packets_, {}, [](const Recorded& recorded) {
    return std::tuple(recorded.packet.time_ns, recorded.thread, recorded.id, recorded.order);
  });
}

std::vector<TestPacket> StoreBuilder::Expected(const Expression& expression) const {
  std::vector<TestPacket> expected;
  for (const Recorded& recorded : packets_) {
    if (Matches(expression, recorded.headers, ViewOf(recorded.packet))) expected.push_back(recorded.packet);
  }
  return expected;
}

void StoreBuilder::Forget(uint32_t thread, uint64_t id) {
  std::erase_if(packets_,
                [&](const Recorded& recorded) { return recorded.thread == thread && recorded.id == id; });
}

ExpressionPtr MakeRandomExpression(std::mt19937_64& random, int64_t begin_ns, int64_t end_ns,
                                   unsigned depth) {
  const uint64_t kind = depth == 0 ? 3 + random() % 7 : random() % 10;
  if (kind == 0) return MakeNot(MakeRandomExpression(random, begin_ns, end_ns, depth - 1));
  if (kind <= 2) {
    std::vector<ExpressionPtr> children(2 + random() % 2);
    for (ExpressionPtr& child : children) child = MakeRandomExpression(random, begin_ns, end_ns, depth - 1);
    return kind == 1 ? MakeAnd(std::move(children)) : MakeOr(std::move(children));
  }
  if (kind == 3) return MakeTime(RandomTime(random, begin_ns, end_ns));
  return MakeTerm(RandomTerm(random));
}

PacketView ViewOf(const TestPacket& packet) {
  return {.time_ns = packet.time_ns,
          .original_bytes = packet.original_bytes,
          .frame = packet.frame,
          .tag = packet.tag};
}

TestPacket Copy(const PacketView& view) {
  return {view.time_ns, {view.frame.begin(), view.frame.end()}, view.tag, view.original_bytes};
}

Answer Ask(const Expression& expression, const StoreSnapshot& snapshot, const QueryOptions& options) {
  Answer answer;
  answer.status = ExecuteQuery(
      expression, snapshot, options,
      [&](const PacketView& view, const PacketSource&) {
        answer.packets.push_back(Copy(view));
        return true;
      },
      answer.stats);
  return answer;
}

ExpressionPtr MakeEverything() { return MakeTime({}); }

std::string Difference(const std::vector<TestPacket>& got, const std::vector<TestPacket>& expected) {
  const size_t common = std::min(got.size(), expected.size());
  for (size_t i = 0; i < common; ++i) {
    if (got[i] == expected[i]) continue;
    return fmt::format("{} packets, expected {}; number {} is of {} with {} bytes, expected {} with {}",
                       got.size(), expected.size(), i, got[i].time_ns, got[i].frame.size(),
                       expected[i].time_ns, expected[i].frame.size());
  }
  return got.size() == expected.size() ? ""
                                       : fmt::format("{} packets, expected {}", got.size(), expected.size());
}

void WriteBytes(const std::string& path, std::span<const uint8_t> bytes) {
  const UniqueFd fd = *OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC);
  STENO_CHECK(WriteFully(fd.get(), bytes, 0, path));
}

}  // namespace steno::testing
