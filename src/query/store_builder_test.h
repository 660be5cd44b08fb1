// StoreBuilder: real stores on disk for the tests of this folder, beside a plain list of what is in them.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "index/arena.h"
#include "index/builder.h"
#include "index/segment.h"
#include "packet/headers.h"
#include "query/execute.h"
#include "query/expression.h"
#include "query/store.h"
#include "testing/temp_dir.h"

namespace steno::testing {

inline constexpr int64_t kTestStartNs = 1'700'000'000'000'000'000;

struct TestPacket {
  int64_t time_ns = 0;
  std::vector<uint8_t> frame;
  StrippedTag tag;
  uint32_t original_bytes = 0;

  bool operator==(const TestPacket& other) const {
    return time_ns == other.time_ns && frame == other.frame && original_bytes == other.original_bytes &&
           tag.present == other.tag.present && tag.tci == other.tag.tci && tag.tpid == other.tag.tpid;
  }
};

// A packet with random headers, now and then a long one, so that granules are skipped and crossed.
TestPacket MakePacket(std::mt19937_64& random, int64_t time_ns);

using TestBlocks = std::vector<std::vector<TestPacket>>;

// `packets` in time order, moved up to `jitter_ns` to and fro, in blocks of random length.
TestBlocks MakeBlocks(std::mt19937_64& random, size_t packets, int64_t first_ns, int64_t step_ns,
                      int64_t jitter_ns);

// Without an index, times are as the recorder writes them then (kBlockEnclosingTimes), if no packet is
// earlier than its block's first by more than a ring makes it.
enum class IndexKind : uint8_t { kSealed, kNone, kCorrupt, kOfAnotherFile };

class StoreBuilder {
 public:
  explicit StoreBuilder(size_t threads);

  [[nodiscard]] const std::vector<StoreDirectory>& directories() const { return directories_; }
  [[nodiscard]] std::string PacketPath(uint32_t thread, uint64_t id) const;
  [[nodiscard]] std::string IndexPath(uint32_t thread, uint64_t id) const;

  // A published file.
  void AddFile(uint32_t thread, uint64_t id, const TestBlocks& blocks, IndexKind index = IndexKind::kSealed);

  // A file that is being written, in a new segment of `arena`; only the first `published` blocks can be seen.
  void AddLive(uint32_t thread, uint64_t id, const TestBlocks& blocks, size_t published, const Arena& arena,
               unsigned segment);
  // What stenotype does with a complete file: index, then final name.
  void SealLive(uint32_t thread, uint64_t id, const std::string& final_name, const Arena& arena,
                unsigned segment);
  // What recovery does after a crash: the file of AddLive() with all its blocks, also unpublished ones, and
  // no index.
  void RecoverLive(uint32_t thread, uint64_t id, const TestBlocks& blocks);
  [[nodiscard]] std::string HiddenName(uint64_t id) const { return "." + std::to_string(id - 7); }

  // All packets that can be seen and match, in the order of an answer.
  [[nodiscard]] std::vector<TestPacket> Expected(const Expression& expression) const;
  void Forget(uint32_t thread, uint64_t id);  // the file is no longer expected
  [[nodiscard]] size_t packets() const { return packets_.size(); }

 private:
  struct Recorded {
    TestPacket packet;
    PacketHeaders headers;
    uint32_t thread;
    uint64_t id;
    uint64_t order;
  };

  void Expect(uint32_t thread, uint64_t id, const TestBlocks& blocks, size_t count);
  // Writes the blocks to `path` and adds them to `segment`.
  void Write(const std::string& path, uint64_t id, const TestBlocks& blocks, size_t published,
             const SegmentMemory& segment, bool enclosing_times = false);

  TempDir temp_;
  std::vector<StoreDirectory> directories_;
  Mapping memory_;
  SegmentMemory segment_;
  IndexBuilder builder_;
  std::vector<Recorded> packets_;
  uint64_t order_ = 0;
  uint64_t files_ = 0;
};

// Random trees over the addresses, ports and tags of MakePacket(), and times in [begin_ns, end_ns).
ExpressionPtr MakeRandomExpression(std::mt19937_64& random, int64_t begin_ns, int64_t end_ns,
                                   unsigned depth = 3);

TestPacket Copy(const PacketView& view);
// Borrows the packet.
PacketView ViewOf(const TestPacket& packet);

struct Answer {
  Status status;
  std::vector<TestPacket> packets;
  QueryStats stats;
};
Answer Ask(const Expression& expression, const StoreSnapshot& snapshot, const QueryOptions& options = {});
// Everything there is.
ExpressionPtr MakeEverything();

// Says where two lists differ first; empty if they do not.
std::string Difference(const std::vector<TestPacket>& got, const std::vector<TestPacket>& expected);

void WriteBytes(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace steno::testing
