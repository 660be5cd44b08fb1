#include "client/offline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/file.h"
#include "pcap/pcap_reader.h"
#include "query/test_store.h"

namespace steno {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kTestEpochNs;
using testing::TestStore;

// Every path below `directory` with its size and time of change.
std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> Listing(const std::string& directory) {
  std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> listing;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    listing[entry.path()] = {entry.is_regular_file() ? entry.file_size() : 0, entry.last_write_time()};
  }
  return listing;
}

size_t CountPackets(const std::string& path) {
  const auto reader = OpenPcap(path);
  EXPECT_TRUE(reader) << path << ": " << reader.error().message;
  size_t count = 0;
  while (reader) {
    const auto packet = (*reader)->Next();
    EXPECT_TRUE(packet) << packet.error().message;
    if (!packet || *packet == nullptr) break;
    ++count;
  }
  return count;
}

class OfflineTest : public ::testing::Test {
 protected:
  // Saves the answer as out() and says how the query ended.
  QueryOutcome Ask(const std::vector<std::string>& directories, const QueryRequest& request) {
    FileSink sink(out());
    StreamOutput output(ResultFormat::kPcap, sink);
    const auto outcome = QueryDirectories(directories, request, output);
    EXPECT_TRUE(outcome) << outcome.error().message;
    EXPECT_TRUE(sink.error());
    return outcome.value_or(QueryOutcome{});
  }
  [[nodiscard]] std::string out() const { return temp_.path() + "/out.pcap"; }

  TestStore data_;
  testing::TempDir temp_;
};

QueryRequest RequestOf(const std::string& query) {
  QueryRequest request;
  request.query = query;
  return request;
}

TEST_F(OfflineTest, TheStoreIsFoundByItsParentOrItself) {
  data_.AddFile(kTestEpochNs, 10, 80);
  const StoreDirectory expected{data_.path() + "/packets", data_.path() + "/index"};
  for (const char* path : {"", "/", "/packets", "/packets/"}) {
    const auto found = FindStoreDirectories(data_.path() + path);
    ASSERT_TRUE(found) << path << ": " << found.error().message;
    EXPECT_THAT(*found, ElementsAre(expected)) << path;
  }
  const auto nothing = FindStoreDirectories(temp_.path());
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message, HasSubstr("no packet files: expected directories PKT0"));
}

TEST_F(OfflineTest, NumberedDirectoriesAreInOrder) {
  for (const char* name : {"PKT10", "PKT9", "IDX9", "IDX10", "PKT11"})
    fs::create_directories(temp_.path() + "/" + name);
  const auto found = FindStoreDirectories(temp_.path());
  ASSERT_TRUE(found) << found.error().message;
  const std::string& top = temp_.path();
  EXPECT_THAT(*found, ElementsAre(StoreDirectory{top + "/PKT9", top + "/IDX9"},
                                  StoreDirectory{top + "/PKT10", top + "/IDX10"},
                                  StoreDirectory{top + "/PKT11", ""}));
}

TEST_F(OfflineTest, AnswersAreWholeAndNothingIsWritten) {
  data_.AddFile(kTestEpochNs, 1000, 80);
  data_.AddFile(kTestEpochNs + 60 * kNsPerSecond, 500, 80, /*with_index=*/false);
  data_.AddFile(kTestEpochNs + 120 * kNsPerSecond, 100, 443);
  const auto before = Listing(data_.path());
  EXPECT_EQ(Ask({data_.path()}, RequestOf("port 80")).kind, QueryOutcome::Kind::kComplete);
  EXPECT_EQ(CountPackets(out()), 1500u);
  QueryRequest request = RequestOf("port 80");
  request.limit_packets = 7;
  const QueryOutcome limited = Ask({data_.path()}, request);
  EXPECT_EQ(limited.kind, QueryOutcome::Kind::kComplete) << limited.text;
  EXPECT_EQ(CountPackets(out()), 7u);
  request = RequestOf("port 80");
  request.limit_bytes = 16;
  EXPECT_EQ(Ask({data_.path()}, request).bytes, 24u);
  EXPECT_EQ(Listing(data_.path()), before);
}

TEST_F(OfflineTest, WithoutIndexesAllIsRead) {
  data_.AddFile(kTestEpochNs, 1000, 80);
  fs::rename(data_.path() + "/packets", temp_.path() + "/evidence");
  EXPECT_EQ(Ask({temp_.path() + "/evidence"}, RequestOf("port 80")).kind, QueryOutcome::Kind::kComplete);
  EXPECT_EQ(CountPackets(out()), 1000u);
}

TEST_F(OfflineTest, WhatCannotBeReadIsSaid) {
  data_.AddFile(kTestEpochNs, 100, 80);
  std::ofstream(data_.path() + "/packets/.1767225600999999") << "half";
  const QueryOutcome outcome = Ask({data_.path()}, RequestOf("port 80"));
  EXPECT_EQ(outcome.kind, QueryOutcome::Kind::kIncomplete);
  EXPECT_THAT(outcome.text, HasSubstr("1 unfinished files are left out"));
  EXPECT_EQ(CountPackets(out()), 100u);
}

TEST_F(OfflineTest, WrongQueriesAreRefused) {
  data_.AddFile(kTestEpochNs, 1, 80);
  FileSink sink(out());
  StreamOutput output(ResultFormat::kPcap, sink);
  const auto outcome = QueryDirectories({data_.path()}, RequestOf("port x"), output);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("could not parse query: column 6"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(OfflineTest, SplitByTimeAndSize) {
  data_.AddFile(kTestEpochNs, 1000, 80);  // 1 ms apart
  const auto ask = [&](const std::string& name, ResultFormat format, const SplitLimits& limits) {
    SplitOutput output(temp_.path() + "/" + name, format, limits);
    const auto outcome = QueryDirectories({data_.path()}, RequestOf("port 80"), output);
    EXPECT_TRUE(outcome && outcome->kind == QueryOutcome::Kind::kComplete);
  };
  ask("t.pcapng", ResultFormat::kPcapng, {.time_ns = 300 * kNsPerMs});
  EXPECT_EQ(CountPackets(temp_.path() + "/t-00001.pcapng"), 300u);
  EXPECT_EQ(CountPackets(temp_.path() + "/t-00003.pcapng"), 300u);
  EXPECT_EQ(CountPackets(temp_.path() + "/t-00004.pcapng"), 100u);
  EXPECT_FALSE(fs::exists(temp_.path() + "/t-00005.pcapng"));
  ask("s.pcap", ResultFormat::kPcap, {.bytes = 24 + 400 * (16 + 64)});
  EXPECT_EQ(CountPackets(temp_.path() + "/s-00001.pcap") + CountPackets(temp_.path() + "/s-00002.pcap") +
                CountPackets(temp_.path() + "/s-00003.pcap"),
            1000u);
  EXPECT_EQ(CountPackets(temp_.path() + "/s-00001.pcap"), 400u);
}

TEST_F(OfflineTest, AFileThatCannotBeWrittenSaysWhy) {
  data_.AddFile(kTestEpochNs, 10, 80);
  SplitOutput output(temp_.path() + "/missing/x.pcap", ResultFormat::kPcap, {.bytes = 100});
  const auto outcome = QueryDirectories({data_.path()}, RequestOf("port 80"), output);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, QueryOutcome::Kind::kIncomplete);
  EXPECT_THAT(outcome->text, HasSubstr("No such file"));
}

}  // namespace
}  // namespace steno
