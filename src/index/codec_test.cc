// Round trips of the sealed index's encodings, and their behaviour on bytes that are not theirs.
#include <gtest/gtest.h>

#include <random>

#include "index/bit_stream.h"
#include "index/block_table.h"
#include "index/bloom.h"
#include "index/byte_stream.h"
#include "index/packed_column.h"
#include "index/prefix_sort.h"

namespace steno {
namespace {

// Numbers of all magnitudes.
uint32_t Skewed(std::mt19937_64& random) { return static_cast<uint32_t>(random()) >> random() % 32; }

TEST(ByteStreamTest, NumbersSurvive) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> numbers = {0, 127, 128, UINT64_MAX};
  for (int i = 0; i < 1000; ++i) numbers.push_back(random() >> random() % 64);
  Bytes bytes;
  for (const uint64_t number : numbers) {
    AppendVarint(bytes, number);
    AppendVarint(bytes, static_cast<unsigned __int128>(number) << 64 | number);
    AppendVarint(bytes, ZigZag(static_cast<int64_t>(number)));
  }
  ByteReader reader(bytes);
  for (const uint64_t number : numbers) {
    EXPECT_EQ(reader.Varint<uint64_t>(), number);
    EXPECT_TRUE(reader.Varint<unsigned __int128>() ==
                (static_cast<unsigned __int128>(number) << 64 | number));
    EXPECT_EQ(UnZigZag(reader.Varint<uint64_t>()), static_cast<int64_t>(number));
  }
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.left(), 0u);
  EXPECT_EQ(reader.Varint<uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteStreamTest, TooLargeVarintsAreRefused) {
  Bytes bytes;
  AppendVarint(bytes, uint64_t{UINT32_MAX} + 1);
  ByteReader narrow(bytes);
  EXPECT_EQ(narrow.Varint<uint32_t>(), 0u);
  EXPECT_FALSE(narrow.ok());
  const Bytes endless(100, 0xff);
  ByteReader wide(endless);
  (void)wide.Varint<unsigned __int128>();
  EXPECT_FALSE(wide.ok());
}

TEST(BitStreamTest, CodesSurvive) {
  std::mt19937_64 random(2);
  struct Item {
    uint32_t value;
    unsigned order;
    unsigned bits;
  };
  std::vector<Item> items = {{UINT32_MAX, 0, 32}, {UINT32_MAX, 31, 32}, {0, 0, 0}};
  for (int i = 0; i < 5000; ++i) {
    items.push_back(
        {Skewed(random), static_cast<unsigned>(random() % 32), static_cast<unsigned>(random() % 33)});
  }
  BitWriter writer;
  const auto low_bits = [](const Item& item) { return item.value & ((uint64_t{1} << item.bits) - 1); };
  for (const Item& item : items) {
    writer.PutExpGolomb(item.value, item.order);
    writer.Put(low_bits(item), item.bits);
  }
  const Bytes bytes = writer.Finish();
  BitReader reader(bytes);
  for (const Item& item : items) {
    ASSERT_EQ(reader.GetExpGolomb(item.order), item.value);
    ASSERT_EQ(reader.Get(item.bits), low_bits(item));
  }
  EXPECT_TRUE(reader.ok());
  (void)reader.Get(9);
  EXPECT_FALSE(reader.ok());
}

TEST(BitStreamTest, ZerosAreNoCode) {
  const Bytes zeros(20, 0);
  BitReader reader(zeros);
  EXPECT_EQ(reader.GetExpGolomb(0), 0u);
  EXPECT_FALSE(reader.ok());
}

std::vector<uint32_t> DecodeAll(std::span<const uint8_t> bytes, uint32_t count) {
  std::vector<uint32_t> values;
  ColumnDecoder decoder(bytes, count);
  while (true) {
    const auto block = decoder.Next();
    if (!block || block->empty()) return values;
    values.insert(values.end(), block->begin(), block->end());
  }
}

TEST(PackedColumnTest, ValuesSurvive) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint32_t> values(random() % 700);
    const uint32_t base = Skewed(random);
    const unsigned bits = static_cast<unsigned>(random() % 33);
    for (uint32_t& value : values) {
      value = random() % 50 == 0 ? Skewed(random)
                                 : base + static_cast<uint32_t>(random() & ((uint64_t{1} << bits) - 1));
    }
    const Bytes bytes = EncodeColumn(values);
    ASSERT_EQ(DecodeAll(bytes, static_cast<uint32_t>(values.size())), values);
    // Whatever is cut off is missed.
    if (bytes.empty()) continue;
    const auto cut = std::span(bytes).first(random() % bytes.size());
    EXPECT_LT(DecodeAll(cut, static_cast<uint32_t>(values.size())).size(), values.size());
  }
}

TEST(PackedColumnTest, RareLargeValuesDoNotWidenTheRest) {
  std::vector<uint32_t> values(256, 5);
  for (size_t i = 0; i < values.size(); i += 2) values[i] = 6;
  values[100] = UINT32_MAX;
  EXPECT_LT(EncodeColumn(values).size(), 256 / 8 + 12u);
}

TEST(PackedColumnTest, AnyBytesAreSafe) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes(random() % 300);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 8);
    EXPECT_LE(DecodeAll(bytes, 1000).size(), 1000u);
  }
}

TEST(BlockTableTest, EntriesSurvive) {
  std::mt19937_64 random(5);
  std::vector<BlockEntry> blocks;
  for (int i = 0; i < 200; ++i) {
    BlockEntry block{};
    block.file_offset = i % 10 == 0 ? random() : uint64_t(i) << 20;
    block.first_ns = i % 7 == 0 ? static_cast<int64_t>(random()) : 1'700'000'000'000'000'000 + i;
    block.last_ns = block.first_ns + (i % 7 == 0 ? 0 : 100);
    block.packet_count = Skewed(random);
    block.used_bytes = Skewed(random);
    block.drops = Skewed(random);
    block.flags = i % 2 == 0 ? kBlockUnindexed : 0u;
    blocks.push_back(block);
  }
  const Bytes bytes = EncodeBlockTable(blocks);
  const auto decoded = DecodeBlockTable(bytes, 200).value();
  EXPECT_EQ(std::memcmp(decoded.data(), blocks.data(), blocks.size() * sizeof(BlockEntry)), 0);
  EXPECT_FALSE(DecodeBlockTable(bytes, 199));
  EXPECT_FALSE(DecodeBlockTable(bytes, 201));
  EXPECT_FALSE(DecodeBlockTable(bytes, UINT32_MAX));
}

TEST(BloomTest, HoldsItsOwnAndFewOthers) {
  std::mt19937_64 random(6);
  std::vector<uint64_t> hashes;
  for (uint32_t i = 0; i < 50000; ++i) hashes.push_back(BloomHash(Address::V4(0x0a000000 + i)));
  for (uint64_t i = 0; i < 50000; ++i) hashes.push_back(BloomHash(Address::V6(0x20010db8ull << 32, i)));
  const Bytes filter = BuildBloom(hashes);
  const auto blocks = static_cast<uint32_t>(filter.size() / kBloomBlockBytes);
  const auto may_hold = [&](uint64_t hash) {
    return BloomMayHold(std::span(filter).subspan(size_t{BloomBlock(hash, blocks)} * kBloomBlockBytes), hash);
  };
  for (const uint64_t hash : hashes) ASSERT_TRUE(may_hold(hash));
  int false_positives = 0;
  for (uint32_t i = 0; i < 100000; ++i)
    false_positives += may_hold(BloomHash(Address::V4(0x0b000000 + i))) ? 1 : 0;
  EXPECT_LT(false_positives, 2000);
  EXPECT_LE(filter.size() * 8, hashes.size() * kBloomBitsPerAddress + 256);
}

// The hash is part of the file format.
TEST(BloomTest, HashNeverChanges) {
  EXPECT_EQ(BloomHash(Address::V4(0x0a000001)), 0xe486202143248258u);
  EXPECT_EQ(BloomHash(Address::V6(0x20010db800000000, 1)), 0xfb9a9748b6e9b90fu);
}

TEST(PrefixSortTest, Sorts) {
  std::mt19937_64 random(7);
  for (const size_t size : {0u, 1u, 100u, 5000u, 60000u}) {
    for (int skew = 0; skew < 4; ++skew) {
      // Spread evenly; over all magnitudes; around a few prefixes; mostly equal.
      std::vector<std::pair<uint64_t, uint32_t>> records(size);
      for (auto& [key, tie] : records) {
        const uint64_t number = random();
        key = skew == 0   ? number
              : skew == 1 ? number >> number % 64
              : skew == 2 ? number % 3 << 60 | (number >> 40) % 500
                          : number % 2;
        tie = static_cast<uint32_t>(random());
      }
      auto expected = records;
      std::sort(expected.begin(), expected.end());
      PrefixSort(records, [](const auto& record) { return record.first; }, std::less<>{});
      EXPECT_EQ(records, expected) << size << " records, skew " << skew;
    }
  }
}

}  // namespace
}  // namespace steno
