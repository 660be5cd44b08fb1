// Random expressions over random sets of packets: the index, in each of its forms, names a place for every
// packet that matches, and the answer is what reading everything gives. STENO_SEED repeats a run,
// STENO_PACKET_SETS makes it longer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>

#include "base/clock.h"
#include "index/live_index.h"
#include "index/raw_index.h"
#include "index/sealed_index.h"
#include "query/execute.h"
#include "query/flow_select.h"
#include "query/store_builder_test.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

using namespace steno::testing;

constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);
constexpr uint64_t kDefaultSets = 200;
constexpr int kExpressionsPerSet = 50;

uint64_t Number(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Located {
  TestPacket packet;
  PacketHeaders headers;
  uint32_t granule;
};

std::vector<Located> ReadAll(const std::string& path) {
  std::vector<Located> all;
  const PacketFile file = PacketFile::Open(path).value();
  const BlockTable table = file.WalkBlocks().value();
  for (const BlockEntry& block : table.blocks) {
    std::vector<uint8_t> bytes(block.used_bytes);
    EXPECT_TRUE(file.Read(bytes, block.file_offset));
    PacketWalk walk(bytes, kFirstPacketOffset, bytes.size(), block.file_offset);
    while (const PacketView* packet = walk.Next()) {
      Located& located = all.emplace_back();
      Decode(packet->frame, packet->tag, located.headers);
      located.packet = Copy(*packet);
      located.granule = static_cast<uint32_t>(packet->file_offset / kGranuleBytes);
    }
  }
  return all;
}

// One set of packets, in a file with a sealed index, and in a live segment that also has a raw index.
class PacketSet {
 public:
  explicit PacketSet(std::mt19937_64& random)
      : builder_(2), arena_(std::make_shared<const Arena>(*Arena::Create(0))) {
    const auto blocks = [&] {
      return MakeBlocks(random, 1 + random() % 300, kTestStartNs, kNsPerMs, 20 * kNsPerMs);
    };
    builder_.AddFile(0, kId, blocks());
    const TestBlocks live = blocks();
    builder_.AddLive(1, kId + 1, live, live.size(), *arena_, 1);
    packets_[0] = ReadAll(builder_.PacketPath(0, kId));
    packets_[1] = ReadAll(builder_.directories()[1].packets_directory + "/" + builder_.HiddenName(kId + 1));
    indexes_.emplace_back(0, OpenSealedIndex(builder_.IndexPath(0, kId)).value());
    const SegmentMemory& segment = arena_->segment(1);
    indexes_.emplace_back(1, MakeLiveIndex(segment).value());
    EXPECT_TRUE(WriteRawIndex(SegmentSnapshot::Take(segment).value(), raw_.path(), "1"));
    indexes_.emplace_back(1, OpenSealedIndex(raw_.path() + "/1").value());
    store_ = std::make_unique<Store>(builder_.directories());
    store_->SetArenas({nullptr, arena_});
    snapshot_ = store_->Snapshot();
    EXPECT_EQ(snapshot_.size(), 2u);
  }

  // How many packets matched.
  size_t Check(const Expression& expression) const {
    for (const auto& [file, index] : indexes_) CheckCandidates(expression, *index, packets_[file]);
    const Answer answer = Ask(expression, snapshot_);
    EXPECT_TRUE(answer.status) << answer.status.error().message;
    EXPECT_EQ(Difference(answer.packets, builder_.Expected(expression)), "") << ToString(expression);
    return answer.packets.size();
  }

 private:
  static void CheckCandidates(const Expression& expression, const FlowIndex& index,
                              const std::vector<Located>& packets) {
    const auto match = SelectFlows(expression, index, SpanOf(index.blocks()));
    ASSERT_TRUE(match) << match.error().message;
    const auto granules = index.Granules(match->may);
    ASSERT_TRUE(granules) << granules.error().message;
    for (const Located& located : packets) {
      if (!Matches(expression, located.headers, ViewOf(located.packet))) continue;
      ASSERT_TRUE(std::ranges::binary_search(*granules, located.granule)) << ToString(expression);
    }
  }

  StoreBuilder builder_;
  TempDir raw_;
  std::shared_ptr<const Arena> arena_;
  std::vector<Located> packets_[2];
  std::vector<std::pair<size_t, std::unique_ptr<FlowIndex>>> indexes_;  // with the number of their packets
  std::unique_ptr<Store> store_;
  StoreSnapshot snapshot_;
};

TEST(IndexSupersetTest, NoPacketIsMissedByAnyIndex) {
  const uint64_t seed = Number("STENO_SEED", std::random_device{}());
  const uint64_t sets = Number("STENO_PACKET_SETS", kDefaultSets);
  std::printf("STENO_SEED=%llu\n", static_cast<unsigned long long>(seed));
  size_t matched = 0;
  for (uint64_t number = 0; number < sets && !HasFailure(); ++number) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", set " + std::to_string(number));
    std::mt19937_64 random(seed + number);
    const PacketSet set(random);
    for (int i = 0; i < kExpressionsPerSet; ++i) {
      matched += set.Check(
          *MakeRandomExpression(random, kTestStartNs - 10 * kNsPerMs, kTestStartNs + 300 * kNsPerMs));
    }
  }
  EXPECT_GT(matched, sets * kExpressionsPerSet * 10);
}

}  // namespace
}  // namespace steno
