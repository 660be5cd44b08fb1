// Round trips of the sealed index's encodings, and their behaviour on bytes that are not theirs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "base/mapping.h"
#include "index/bit_stream.h"
#include "index/block_table.h"
#include "index/bloom.h"
#include "index/byte_stream.h"
#include "index/packed_column.h"
#include "index/radix_sort.h"
#include "index/scratch.h"

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
  const auto bytes = writer.Finish();
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
  BloomFilter builder(static_cast<uint32_t>(hashes.size()));
  for (const uint64_t hash : hashes) builder.Add(hash);
  const auto filter = builder.Finish();
  const uint32_t blocks = builder.blocks();
  ASSERT_EQ(filter.size(), size_t{blocks} * kBloomBlockBytes);
  const auto may_hold = [&](uint64_t hash) {
    return BloomMayHold(filter.subspan(size_t{BloomBlock(hash, blocks)} * kBloomBlockBytes), hash);
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

struct WordsRecord {
  std::array<uint64_t, 3> words;
  uint32_t id;
};
struct WordsKeys {
  static constexpr unsigned words = 3;
  static uint64_t Word(const WordsRecord& record, unsigned word) { return record.words[word]; }
  static void Load(const WordsRecord&, unsigned) {}
};

// A number spread evenly; of any magnitude; around a few prefixes; one of two.
uint64_t SkewedWord(std::mt19937_64& random, int skew) {
  const uint64_t number = random();
  switch (skew) {
    case 0:
      return number;
    case 1:
      return number >> number % 64;
    case 2:
      return number % 3 << 60 | (number >> 40) % 500;
    default:
      return number % 2;
  }
}

TEST(RadixSortTest, SortsByAllWords) {
  std::mt19937_64 random(7);
  for (const uint32_t size : {0u, 1u, 2u, 16u, 17u, 100u, 5000u, 60000u}) {
    for (int skew = 0; skew < 16; ++skew) {
      std::vector<WordsRecord> records(size);
      uint32_t id = 0;
      for (WordsRecord& record : records) {
        record = {{SkewedWord(random, skew / 4), SkewedWord(random, skew % 4), SkewedWord(random, 3)}, id++};
      }
      const auto before = records;
      std::vector<WordsRecord> other(size);
      RadixSort(std::span(records), std::span(other), WordsKeys{});
      std::vector<bool> seen(size);
      for (size_t i = 0; i < records.size(); ++i) {
        ASSERT_EQ(records[i].words, before[records[i].id].words);
        ASSERT_FALSE(seen[records[i].id]);
        seen[records[i].id] = true;
        const size_t before_it = i > 0 ? i - 1 : 0;
        ASSERT_LE(records[before_it].words, records[i].words) << size << " records, skew " << skew;
      }
    }
  }
}

TEST(RadixSortTest, SortsNumbers) {
  std::mt19937_64 random(8);
  for (int skew = 0; skew < 4; ++skew) {
    std::vector<uint64_t> numbers(30000);
    for (uint64_t& number : numbers) number = SkewedWord(random, skew);
    auto expected = numbers;
    auto other = numbers;
    std::ranges::sort(expected);
    RadixSort(numbers, other);
    EXPECT_EQ(numbers, expected);
  }
}

// Numbers that differ in one bit each make the most pieces, one in another.
TEST(RadixSortTest, EveryDigitSplitsOffOne) {
  std::vector<uint64_t> numbers;
  for (int copies = 0; copies < 40; ++copies) {
    for (unsigned bit = 0; bit < 64; ++bit) numbers.push_back(uint64_t{1} << bit);
  }
  auto expected = numbers;
  auto other = numbers;
  std::ranges::sort(expected);
  RadixSort(numbers, other);
  EXPECT_EQ(numbers, expected);
}

TEST(ScratchTest, HandsOutAndTakesBack) {
  const Mapping memory = Mapping::Anonymous(4096).value();
  Scratch scratch(memory.bytes());
  const auto first = scratch.Take<uint64_t>(256).value();
  {
    const Scratch::Mark mark(scratch);
    EXPECT_EQ(scratch.Take<uint8_t>(2048).value().data(), reinterpret_cast<uint8_t*>(first.data()) + 2048);
    EXPECT_EQ(scratch.left<uint8_t>(), 0u);
    EXPECT_EQ(scratch.Take<uint8_t>(1).error().code, ErrorCode::kExhausted);
  }
  EXPECT_EQ(scratch.left<uint8_t>(), 2048u);
  EXPECT_FALSE(scratch.Take<uint64_t>(SIZE_MAX / 4));
  scratch.Release(first);
  EXPECT_TRUE(scratch.Take<uint8_t>(4096));
}

}  // namespace
}  // namespace steno
