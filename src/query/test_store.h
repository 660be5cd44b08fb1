// A small store on disk for the tests of this folder: packet files as stenotype writes them, with or without
// an index.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "index/raw_index.h"
#include "index/sealer.h"
#include "query/store.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"
#include "testing/temp_dir.h"

namespace steno::testing {

// 2026-01-01T00:00:00Z
inline constexpr int64_t kTestEpochNs = 1'767'225'600 * kNsPerSecond;

class TestStore {
 public:
  TestStore() : directory_{temp_.Make("packets"), temp_.Make("index")} {}

  [[nodiscard]] const StoreDirectory& directory() const { return directory_; }
  [[nodiscard]] const std::string& path() const { return temp_.path(); }

  // A file of `packets` TCP packets from 10.0.0.1 to 10.0.0.2 port `port`, 1 ms apart from `start_ns`;
  // returns its name. `drops` packets were lost before every block but the first.
  std::string AddFile(int64_t start_ns, unsigned packets, uint16_t port, bool with_index = true,
                      size_t payload_bytes = 10, uint64_t drops = 0) {
    const auto file_id = static_cast<uint64_t>(start_ns / kNsPerUs);
    const std::string name = std::to_string(file_id);
    std::ofstream file(directory_.packets_directory + "/" + name, std::ios::binary);
    const auto frame = PacketBuilder()
                           .Ethernet()
                           .Ipv4("10.0.0.1", "10.0.0.2")
                           .Tcp(40000, port)
                           .Payload(payload_bytes)
                           .Build();
    BlockBuilder block;
    uint64_t offset = 0;
    uint64_t sequence = 0;
    const auto write = [&] {
      const std::vector<uint8_t> bytes =
          block.Finish(file_id, file_id + 77, offset, sequence, sequence == 0 ? 0 : drops);
      ++sequence;
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      offset += bytes.size();
      block.Clear();
    };
    for (unsigned i = 0; i < packets; ++i) {
      const int64_t time_ns = start_ns + int64_t{i} * kNsPerMs;
      if (block.Add(frame, time_ns)) continue;
      write();
      EXPECT_TRUE(block.Add(frame, time_ns));
    }
    write();
    file.close();
    if (with_index) {
      const Status status =
          RebuildIndex(directory_.packets_directory + "/" + name, directory_.index_directory, name);
      EXPECT_TRUE(status) << status.error().message;
    }
    return name;
  }

  // Puts an index of no flows and blocks, and raw, in the place of a file's.
  void MakeIndexRaw(const std::string& name) const {
    SegmentSnapshot empty{};
    empty.file_id = std::stoull(name);
    empty.file_tag = empty.file_id + 77;
    const Status written = WriteRawIndex(empty, directory_.index_directory, name);
    EXPECT_TRUE(written) << written.error().message;
  }

 private:
  TempDir temp_;
  StoreDirectory directory_;
};

}  // namespace steno::testing
