// Files of the incumbent: with an index as it makes them, any query gives what reading everything gives.
// STENO_SEED repeats a run.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <span>

#include "base/bytes.h"
#include "base/file.h"
#include "index/google_v2_test_table.h"
#include "packet/wire.h"
#include "query/expression.h"
#include "query/index_cache.h"
#include "query/store_builder_test.h"
#include "storage/packet_file.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"

namespace steno {
namespace {

using namespace steno::testing;

constexpr uint64_t kId = static_cast<uint64_t>(kTestStartNs / 1000);
constexpr unsigned kFiles = 4;
constexpr unsigned kExpressions = 400;

// What the incumbent lists of a packet: of the outermost IP header behind tags and labels, if it is whole;
// ports if the header of TCP or UDP is whole. It does not see whether that is a later fragment.
class Lister {
 public:
  Lister(std::span<const uint8_t> frame, uint32_t position, GoogleLists& lists)
      : rest_(frame), position_(position), lists_(lists) {
    if (rest_.size() < wire::kEthernetBytes) return;
    uint16_t type = LoadBe<uint16_t>(rest_.data() + 12);
    rest_ = rest_.subspan(wire::kEthernetBytes);
    while ((type == wire::kEtherVlan || type == wire::kEtherServiceVlan) && rest_.size() >= 4) {
      Add(3, LoadBe<uint16_t>(rest_.data()) & 0xfff, 2);
      type = LoadBe<uint16_t>(rest_.data() + 2);
      rest_ = rest_.subspan(4);
    }
    if (type == wire::kEtherMpls) type = SkipLabels();
    if (type == wire::kEtherIpv4) ListIpv4();
    if (type == wire::kEtherIpv6) ListIpv6();
  }

 private:
  void Add(uint8_t attribute, uint64_t value, size_t bytes) { Add(Key(attribute, value, bytes)); }
  void Add(const std::string& key) { lists_[key].push_back(position_); }

  uint16_t SkipLabels() {
    bool bottom = false;
    while (!bottom && rest_.size() >= 4) {
      const auto label = LoadBe<uint32_t>(rest_.data());
      Add(5, label >> 12, 4);
      bottom = (label >> 8 & 1) != 0;
      rest_ = rest_.subspan(4);
    }
    if (!bottom || rest_.empty()) return 0;
    return rest_[0] >> 4 == 4 ? wire::kEtherIpv4 : rest_[0] >> 4 == 6 ? wire::kEtherIpv6 : uint16_t{0};
  }

  void ListIpv4() {
    if (rest_.size() < 20 || rest_[0] >> 4 != 4) return;
    Add(4, LoadBe<uint32_t>(rest_.data() + 12), 4);
    Add(4, LoadBe<uint32_t>(rest_.data() + 16), 4);
    ListPorts(rest_[9], size_t{rest_[0] & 15u} * 4);
  }

  void ListIpv6() {
    if (rest_.size() < 40 || rest_[0] >> 4 != 6) return;
    for (const size_t at : {size_t{8}, size_t{24}}) {
      Add(Key(6, LoadBe<uint64_t>(rest_.data() + at), 8) +
          BigEndian(LoadBe<uint64_t>(rest_.data() + at + 8), 8));
    }
    ListPorts(rest_[6], 40);
  }

  void ListPorts(uint8_t protocol, size_t header_bytes) {
    Add(1, protocol, 1);
    const size_t needed = protocol == wire::kIpTcp ? 20 : 8;
    if (protocol != wire::kIpTcp && protocol != wire::kIpUdp) return;
    if (rest_.size() < header_bytes + needed) return;
    Add(2, LoadBe<uint16_t>(rest_.data() + header_bytes), 2);
    Add(2, LoadBe<uint16_t>(rest_.data() + header_bytes + 2), 2);
  }

  std::span<const uint8_t> rest_;
  const uint32_t position_;
  GoogleLists& lists_;
};

void WriteBytesTo(const std::string& path, std::span<const uint8_t> bytes) {
  const UniqueFd fd = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC).value();
  ASSERT_TRUE(WriteFully(fd.get(), bytes, 0, path));
}

class GoogleStoreTest : public ::testing::Test {
 protected:
  GoogleStoreTest() {
    const char* const seed = std::getenv("STENO_SEED");
    if (seed != nullptr) random_.seed(std::strtoull(seed, nullptr, 10));
    for (unsigned file = 0; file < kFiles; ++file) AddFile(kId + file * 1'000'000);
  }

  // Mostly what the index knows whole, so that it can leave granules out.
  TestPacket MakeSomePacket(int64_t time_ns) {
    if (random_() % 12 == 0) {
      TestPacket packet = MakePacket(random_, time_ns);
      if (random_() % 2 == 0) packet.frame.resize(std::min<size_t>(packet.frame.size(), 14 + random_() % 60));
      return packet;
    }
    PacketBuilder builder =
        PacketBuilder().Ethernet().Ipv4("10.0.0." + std::to_string(random_() % 9), "10.0.1.1");
    const auto port = static_cast<uint16_t>(random_() % 6000);
    random_() % 2 == 0 ? builder.Tcp(port, 443) : builder.Udp(port, 53);
    return {.time_ns = time_ns,
            .frame = builder.Payload(random_() % 9000).Build(),
            .tag = {},
            .original_bytes = 0};
  }

  void AddFile(uint64_t id) {
    std::vector<uint8_t> bytes;
    GoogleLists lists;
    auto time_ns = static_cast<int64_t>(id * 1000);
    for (unsigned block = 0; block < 3; ++block) {
      BlockBuilder builder(1 << 20);
      for (TestPacket packet = MakeSomePacket(time_ns);
           builder.Add(packet.frame, time_ns, packet.tag, packet.original_bytes);
           packet = MakeSomePacket(++time_ns)) {
      }
      const auto block_bytes = builder.FinishForeign();
      bytes.insert(bytes.end(), block_bytes.begin(), block_bytes.end());
    }
    const std::string name = std::to_string(id);
    WriteBytesTo(packets_ + "/" + name, bytes);
    const PacketFile file = PacketFile::Open(packets_ + "/" + name).value();
    const BlockTable table = file.ListForeignBlocks().value();
    for (const BlockEntry& block : table.blocks) {
      PacketWalk walk(std::span<const uint8_t>(bytes).subspan(block.file_offset, block.used_bytes),
                      kKernelHeaderBytes, block.used_bytes, block.file_offset);
      while (const PacketView* packet = walk.Next())
        Lister(packet->frame, static_cast<uint32_t>(packet->file_offset), lists);
    }
    WriteGoogleTable(indexes_ + "/" + name, lists);
  }

  void CompareAnswers(const Store::Options& options) {
    Store with({{packets_, indexes_}}, options);
    Store without({{packets_, no_indexes_}}, options);
    const StoreSnapshot snapshot = with.Snapshot();
    const StoreSnapshot plain = without.Snapshot();
    uint64_t found = 0;
    uint64_t decoded = 0;
    uint64_t scanned = 0;
    for (unsigned i = 0; i < kExpressions; ++i) {
      const ExpressionPtr expression =
          MakeRandomExpression(random_, kTestStartNs, kTestStartNs + kFiles * 1'000'000'000LL);
      const Answer got = Ask(*expression, snapshot);
      const Answer expected = Ask(*expression, plain);
      ASSERT_TRUE(got.status && expected.status);
      ASSERT_EQ(Difference(got.packets, expected.packets), "") << ToString(*expression);
      ASSERT_EQ(got.stats.files_scanned, 0u) << ToString(*expression);
      found += got.packets.size();
      decoded += got.stats.packets_read;
      scanned += expected.stats.packets_read;
    }
    EXPECT_GT(found, 1000u);
    decoded_of_scanned_ = static_cast<double>(decoded) / static_cast<double>(scanned);
    totals_ = with.totals().index_cache;
  }

  TempDir temp_;
  const std::string packets_ = temp_.Make("pkt0");
  const std::string indexes_ = temp_.Make("idx0");
  const std::string no_indexes_ = temp_.Make("none");
  std::mt19937_64 random_{20240229};
  IndexCache::Totals totals_;
  double decoded_of_scanned_ = 0;
};

TEST_F(GoogleStoreTest, AnswersAreThoseOfReadingEverything) {
  CompareAnswers({});
  EXPECT_LT(decoded_of_scanned_, 0.9) << "the index is of use";
  EXPECT_GT(totals_.claimed_bytes, 0u);
  EXPECT_LE(totals_.bytes, totals_.limit_bytes);
  EXPECT_EQ(totals_.refused_claims, 0u);
}

TEST_F(GoogleStoreTest, AlsoWithoutMemoryForGaps) {
  CompareAnswers({.index_cache_bytes = 0});
  EXPECT_EQ(totals_.claimed_bytes, 0u);
  EXPECT_GT(totals_.refused_claims, 0u);
}

}  // namespace
}  // namespace steno
