// Queries against a store whose files are written, sealed, renamed and deleted at the same time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <fcntl.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "index/builder.h"
#include "index/sealer.h"
#include "query/execute.h"
#include "query/store_builder_test.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using namespace steno::testing;
using ::testing::IsEmpty;

constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);
constexpr uint32_t kPacketsPerBlock = 20;
constexpr uint32_t kBlocksPerFile = 4;

// Does what stenotype does, faster: one packet per microsecond, numbered in its last four bytes and its time.
class Writer {
 public:
  Writer(const StoreDirectory& directory, const Arena& arena)
      : directory_(directory), arena_(arena), builder_(*IndexBuilder::Create()) {}

  void WriteFiles(const std::stop_token& stop) {
    for (unsigned file = 0; !stop.stop_requested(); ++file) WriteOne(file % kArenaSegments);
  }

  // Packets 0..published()-1 can be found.
  [[nodiscard]] uint32_t published() const { return published_.load(std::memory_order_acquire); }

 private:
  void WriteOne(unsigned segment) {
    const uint64_t id = kId + next_;
    const std::string hidden = "." + std::to_string(id);
    const std::string path = directory_.packets_directory + "/" + hidden;
    const SegmentMemory& memory = arena_.segment(segment);
    const UniqueFd fd = *OpenFile(path, O_WRONLY | O_CREAT | O_EXCL);
    memory.Reset(id, id | 1, hidden);
    builder_.Begin(&memory);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < kBlocksPerFile; ++i) {
      BlockBuilder block(16 * kDiskAlignment);
      for (uint32_t k = 0; k < kPacketsPerBlock; ++k) AddPacket(block);
      const std::vector<uint8_t> disk = block.Finish(id, id | 1, offset, i);
      STENO_CHECK(WriteFully(fd.get(), disk, offset, path));
      builder_.AddBlock(block.Block(), offset, 0);
      builder_.Publish(i + 1);
      published_.store(next_, std::memory_order_release);
      offset += disk.size();
    }
    memory.header->state.store(static_cast<uint32_t>(SegmentState::kSealing), std::memory_order_release);
    STENO_CHECK(SealSegment(*SegmentSnapshot::Take(memory), directory_.index_directory, std::to_string(id)));
    STENO_CHECK(RenameFile(path, directory_.packets_directory + "/" + std::to_string(id)));
  }

  void AddPacket(BlockBuilder& block) {
    std::vector<uint8_t> frame = PacketBuilder()
                                     .Ethernet()
                                     .Ipv4("10.0.0.1", "10.0.0.2")
                                     .Udp(static_cast<uint16_t>(next_ % 7), 53)
                                     .Payload(4)
                                     .Build();
    for (size_t i = 0; i < 4; ++i) frame[frame.size() - 4 + i] = static_cast<uint8_t>(next_ >> 8 * i);
    STENO_CHECK(block.Add(frame, kTestStartNs + int64_t{next_} * kNsPerUs));
    ++next_;
  }

  const StoreDirectory directory_;
  const Arena& arena_;
  IndexBuilder builder_;
  uint32_t next_ = 0;
  std::atomic<uint32_t> published_{0};
};

TEST(RotationTest, EveryPublishedPacketIsFoundOnce) {
  TempDir temp;
  const StoreDirectory directory{temp.Make("pkt"), temp.Make("idx")};
  const auto arena = std::make_shared<const Arena>(*Arena::Create(0));
  Store store({directory});
  store.SetArenas({arena});
  Writer writer(directory, *arena);
  std::jthread thread([&](const std::stop_token& stop) { writer.WriteFiles(stop); });
  const int64_t end = MonotonicNs() + 2 * kNsPerSecond;
  int live_answers = 0;
  int queries = 0;
  for (uint32_t from = 0; MonotonicNs() < end; ++queries) {
    const uint32_t published = writer.published();
    // The latest packets are the ones whose file changes its place; ask for one flow of them, or for all.
    from = published > 2000 ? published - 2000 : 0;
    const TimeRange range{kTestStartNs + int64_t{from} * kNsPerUs, INT64_MAX};
    Term term;
    term.kind = TermKind::kPort;
    term.first = term.last = 3;
    const bool one_flow = queries % 2 == 0;
    const ExpressionPtr expression = one_flow ? MakeAnd({MakeTime(range), MakeTerm(term)}) : MakeTime(range);
    std::vector<std::string> problems;
    const StoreSnapshot snapshot = store.Snapshot(&problems);
    ASSERT_THAT(problems, IsEmpty());
    if (queries % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(queries % 40));
    const Answer answer = Ask(*expression, snapshot);
    ASSERT_TRUE(answer.status);
    ASSERT_THAT(answer.stats.problems, IsEmpty());
    ASSERT_EQ(answer.stats.files_gone, 0u);
    ASSERT_EQ(answer.stats.files_scanned, 0u);
    uint32_t next = from;
    for (const TestPacket& packet : answer.packets) {
      uint32_t number = 0;
      for (size_t i = 0; i < 4; ++i) number |= uint32_t{packet.frame[packet.frame.size() - 4 + i]} << 8 * i;
      while (one_flow && next % 7 != 3) ++next;
      ASSERT_EQ(number, next) << "query " << queries;
      ++next;
    }
    while (one_flow && next % 7 != 3) ++next;
    ASSERT_GE(next, published) << "query " << queries;
    for (const auto& file : snapshot) live_answers += file->path().find("/.") != std::string::npos;
  }
  EXPECT_GT(queries, 20);
  EXPECT_GT(live_answers, 5);
  EXPECT_GT(writer.published(), 1000u);
}

}  // namespace
}  // namespace steno
