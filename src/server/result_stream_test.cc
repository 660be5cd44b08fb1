#include "server/result_stream.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"

namespace steno {
namespace {

class ResultStreamTest : public ::testing::Test {
 protected:
  // False: no room was given.
  bool Add(const std::string& bytes) {
    std::string* const out = stream_.Room(bytes.size(), stop_.get_token(), deadline_ns_);
    if (out == nullptr) return false;
    out->append(bytes);
    full_ += stream_.Publish();
    return true;
  }
  // All that is there.
  std::string TakeAll() {
    std::string all;
    do {
      all += stream_.Take();
    } while (!stream_.drained());
    return all;
  }

  ResultStream stream_;
  std::stop_source stop_;
  int64_t deadline_ns_ = MonotonicNs() + 60 * kNsPerSecond;
  int full_ = 0;
};

const std::string kHalf(ResultStream::kChunkBytes / 2, 'h');

TEST_F(ResultStreamTest, WhateverIsPublishedCanBeTaken) {
  EXPECT_EQ(stream_.Take(), "");
  EXPECT_TRUE(Add("one"));
  EXPECT_EQ(stream_.Take(), "one");
  EXPECT_TRUE(stream_.drained());
  EXPECT_EQ(stream_.Take(), "");
  EXPECT_TRUE(Add("two"));
  EXPECT_TRUE(Add("three"));
  EXPECT_EQ(stream_.Take(), "twothree");
  stream_.Room(10, stop_.get_token(), deadline_ns_)->append("unseen");
  EXPECT_EQ(stream_.Take(), "") << "not yet published";
  stream_.Publish();
  EXPECT_EQ(stream_.Take(), "unseen");
}

TEST_F(ResultStreamTest, WhatWasTakenStaysInPlace) {
  EXPECT_TRUE(Add("first"));
  const std::string_view first = stream_.Take();
  while (full_ < 3) EXPECT_TRUE(Add(kHalf));
  EXPECT_EQ(first, "first");
}

TEST_F(ResultStreamTest, FullChunksAreSaid) {
  EXPECT_TRUE(Add(kHalf));
  EXPECT_EQ(full_, 0);
  EXPECT_TRUE(Add(kHalf));
  EXPECT_EQ(full_, 1);
  EXPECT_TRUE(Add("a"));
  EXPECT_TRUE(Add(std::string(ResultStream::kMaxRoom, 'b'))) << "in a chunk of its own";
  EXPECT_EQ(full_, 2) << "two chunks, one signal";
  EXPECT_EQ(TakeAll(), kHalf + kHalf + "a" + std::string(ResultStream::kMaxRoom, 'b'));
}

TEST_F(ResultStreamTest, AFullStreamWaitsForSpaceAStopOrTheDeadline) {
  for (size_t i = 0; i < 2 * ResultStream::kMaxChunks; ++i) EXPECT_TRUE(Add(kHalf));
  deadline_ns_ = MonotonicNs() + 10 * kNsPerMs;
  EXPECT_FALSE(Add("late"));
  deadline_ns_ = MonotonicNs() + 60 * kNsPerSecond;
  std::thread stopper([&] { stop_.request_stop(); });
  EXPECT_FALSE(Add("stopped"));
  stopper.join();
  stop_ = std::stop_source();
  std::string got;
  std::thread taker([&] {
    got = stream_.Take();
    got += stream_.Take();  // gives the first back
  });
  EXPECT_TRUE(Add("more"));
  taker.join();
  got += TakeAll();
  EXPECT_EQ(got.size(), ResultStream::kMaxChunks * ResultStream::kChunkBytes + 4);
  EXPECT_TRUE(got.ends_with("hmore"));
}

TEST_F(ResultStreamTest, TheLastBytesNeverWait) {
  for (size_t i = 0; i < 2 * ResultStream::kMaxChunks; ++i) EXPECT_TRUE(Add(kHalf));
  const std::string last(3 * ResultStream::kChunkBytes, 'z');
  stream_.PublishLast(last);
  EXPECT_TRUE(TakeAll().ends_with("h" + last));
  EXPECT_EQ(stream_.Take(), "");
  EXPECT_TRUE(stream_.drained());
}

TEST_F(ResultStreamTest, BehindTheLastBytesThereIsNothing) {
  EXPECT_TRUE(Add("all"));
  stream_.PublishLast("");
  EXPECT_EQ(stream_.Take(), "all");
  EXPECT_TRUE(stream_.drained());
}

TEST_F(ResultStreamTest, NothingIsLostBetweenTwoThreads) {
  constexpr uint32_t kRecords = 300'000;
  std::atomic<bool> done = false;
  std::thread producer([&] {
    for (uint32_t i = 0; i < kRecords; ++i) {
      std::string record(4 + i % 61, 'x');
      record.replace(0, 4, reinterpret_cast<const char*>(&i), 4);
      EXPECT_TRUE(Add(record));
    }
    stream_.PublishLast("end");
    done = true;
  });
  std::string all;
  for (bool last = false; !last;) {
    const bool ended = done;
    all += stream_.Take();
    last = ended && stream_.drained();
  }
  producer.join();
  size_t at = 0;
  for (uint32_t i = 0; i < kRecords; at += 4 + i % 61, ++i) {
    ASSERT_LE(at + 4 + i % 61, all.size());
    ASSERT_EQ(all.compare(at, 4, reinterpret_cast<const char*>(&i), 4), 0) << i;
  }
  EXPECT_EQ(all.substr(at), "end");
}

}  // namespace
}  // namespace steno
