#include "query/read_buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>

namespace steno {
namespace {

constexpr size_t kHalf = Buffer::kHugePageBytes / 2;

bool IsResident(uint8_t* page) {
  unsigned char resident = 0;
  return ::mincore(page, 1, &resident) == 0 && (resident & 1) != 0;
}

TEST(BufferTest, LargeOnesBeginAtAPage) {
  for (const size_t bytes : {Buffer::kMappedBytes, Buffer::kMappedBytes + 1, kHalf, Buffer::kHugePageBytes,
                             2 * Buffer::kHugePageBytes}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u) << bytes;
    EXPECT_EQ(buffer.capacity(), bytes);
    std::fill_n(buffer.data(), bytes, uint8_t{1});
  }
}

TEST(BufferTest, IsEmptyOnceItWasMoved) {
  Buffer from(100);
  const uint8_t* const data = from.data();
  Buffer to = std::move(from);
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(to.capacity(), 100u);
  EXPECT_EQ(from.capacity(), 0u);  // NOLINT(bugprone-use-after-move)
}

TEST(BufferTest, AHalfIsGivenBackByItself) {
  auto halves = Buffer::MakeHalves();
  std::fill_n(halves.first.data(), kHalf, uint8_t{1});
  std::fill_n(halves.second.data(), kHalf, uint8_t{2});
  uint8_t* const second = halves.second.data();
  ASSERT_TRUE(IsResident(second));
  halves.second = Buffer();
  EXPECT_FALSE(IsResident(second)) << "its memory";
  EXPECT_EQ(std::count(halves.first.data(), halves.first.data() + kHalf, 1),
            static_cast<std::ptrdiff_t>(kHalf));
}

TEST(BufferPoolTest, GivesWhatItWasGiven) {
  BufferPool pool;
  Buffer buffer = pool.Take(50'000);
  EXPECT_EQ(buffer.capacity(), 64u * 1024);
  const uint8_t* const data = buffer.data();
  pool.Give(std::move(buffer));
  EXPECT_NE(pool.Take(70'000).data(), data) << "too small for that";
  EXPECT_EQ(pool.Take(64 * 1024).data(), data);
}

TEST(BufferPoolTest, BuffersInUseShareNothing) {
  BufferPool pool;
  std::vector<Buffer> taken;
  for (int i = 0; i < 5; ++i) {
    taken.push_back(pool.Take(kHalf));
    std::fill_n(taken.back().data(), kHalf, static_cast<uint8_t>(i));
  }
  for (int i = 0; i < 5; ++i) {
    const uint8_t* const data = taken[static_cast<size_t>(i)].data();
    EXPECT_EQ(std::count(data, data + kHalf, i), static_cast<std::ptrdiff_t>(kHalf)) << i;
  }
}

// Buffers of a size that is not asked for any more make room for others.
TEST(BufferPoolTest, KeepsTheNewest) {
  BufferPool pool;
  std::vector<Buffer> taken;
  for (const size_t bytes : {kHalf / 2, kHalf, kHalf}) taken.push_back(pool.Take(bytes));
  const std::set<const uint8_t*> newest{taken[1].data(), taken[2].data()};
  for (Buffer& buffer : taken) pool.Give(std::move(buffer));
  const Buffer first = pool.Take(kHalf);
  const Buffer second = pool.Take(kHalf);
  EXPECT_TRUE(newest.contains(first.data()));
  EXPECT_TRUE(newest.contains(second.data()));
}

TEST(BufferPoolTest, KeepsTwoMiBAtMost) {
  BufferPool pool;
  std::vector<Buffer> taken;
  std::set<const uint8_t*> known;
  for (int i = 0; i < 6; ++i) taken.push_back(pool.Take(kHalf));
  for (const Buffer& buffer : taken) known.insert(buffer.data());
  for (Buffer& buffer : taken) pool.Give(std::move(buffer));
  EXPECT_TRUE(known.contains(pool.Take(kHalf).data()));
  size_t resident = 0;
  for (const uint8_t* data : known) resident += IsResident(const_cast<uint8_t*>(data)) ? 1 : 0;
  EXPECT_LE(resident, 2u);
}

}  // namespace
}  // namespace steno
