#include "index/packed_column.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "index/bit_stream.h"

namespace steno {
namespace {

constexpr unsigned kMaxWidth = 32;

// The width at which a block of `offsets` takes the fewest bits. `all`: the offsets, or-ed.
unsigned ChooseWidth(std::span<const uint32_t> offsets, uint32_t all) {
  std::array<uint32_t, kMaxWidth + 1> of_width{};
  for (const uint32_t offset : offsets) ++of_width[static_cast<unsigned>(std::bit_width(offset))];
  const auto widest = static_cast<unsigned>(std::bit_width(all));
  unsigned best = widest;
  size_t best_bits = offsets.size() * widest;
  // Between two widths that occur, the lower one is as good for the exceptions and better for the rest.
  for (unsigned width = 0; width < widest; ++width) {
    if (of_width[width] == 0 && width != 0) continue;
    size_t bits = offsets.size() * width;
    for (unsigned wider = width + 1; wider <= widest; ++wider) {
      const size_t varint_bytes = (wider - width + 6) / 7;
      bits += of_width[wider] * 8 * (1 + varint_bytes);
    }
    if (bits >= best_bits) continue;
    best = width;
    best_bits = bits;
  }
  return best;
}

}  // namespace

std::span<const uint8_t> ColumnEncoder::Encode(std::span<const uint32_t> values) {
  const uint32_t minimum = *std::min_element(values.begin(), values.end());
  std::array<uint32_t, kColumnBlock> offsets;
  uint32_t all = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    offsets[i] = values[i] - minimum;
    all |= offsets[i];
  }
  unsigned width = all == 0 ? 0 : ChooseWidth({offsets.data(), values.size()}, all);
  const auto is_exception = [&](uint32_t offset) { return uint64_t{offset} >> width != 0; };
  const auto count_exceptions = [&] {
    return std::count_if(offsets.begin(), offsets.begin() + static_cast<ptrdiff_t>(values.size()),
                         is_exception);
  };
  auto exceptions = all == 0 ? 0 : count_exceptions();
  if (exceptions > UINT8_MAX) {  // cannot be written; all 256 values are wide
    width = static_cast<unsigned>(std::bit_width(all));
    exceptions = 0;
  }
  uint8_t* at = PutVarint(bytes_.data(), minimum);
  *at++ = static_cast<uint8_t>(width);
  *at++ = static_cast<uint8_t>(exceptions);
  uint64_t pending = 0;
  unsigned pending_bits = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    pending |= (offsets[i] & ((uint64_t{1} << width) - 1)) << pending_bits;
    pending_bits += width;
    if (pending_bits < 32) continue;
    StoreLe(at, static_cast<uint32_t>(pending));
    at += sizeof(uint32_t);
    pending >>= 32;
    pending_bits -= 32;
  }
  StoreLe(at, static_cast<uint32_t>(pending));
  at += (pending_bits + 7) / 8;
  for (size_t i = 0; exceptions > 0 && i < values.size(); ++i) {
    if (is_exception(offsets[i])) *at++ = static_cast<uint8_t>(i);
  }
  for (size_t i = 0; exceptions > 0 && i < values.size(); ++i) {
    if (is_exception(offsets[i])) at = PutVarint(at, offsets[i] >> width);
  }
  return {bytes_.data(), static_cast<size_t>(at - bytes_.data())};
}

Bytes EncodeColumn(std::span<const uint32_t> values) {
  Bytes out;
  EncodeColumn(
      static_cast<uint32_t>(values.size()), [&](uint32_t i) { return values[i]; },
      [&](std::span<const uint8_t> block) { out.insert(out.end(), block.begin(), block.end()); });
  return out;
}

Result<ColumnDecoder::Block> ColumnDecoder::Read() {
  const auto count = std::min<uint32_t>(left_, kColumnBlock);
  if (count == 0) return Block{};
  left_ -= count;
  const auto minimum = reader_.Varint<uint32_t>();
  const auto width = reader_.Le<uint8_t>();
  const auto exceptions = reader_.Le<uint8_t>();
  const auto packed = reader_.Take((size_t{count} * width + 7) / 8);
  const auto places = reader_.Take(exceptions);
  if (!reader_.ok() || width > kMaxWidth)
    return Fail(Error::Corrupt("column block: cut off or width over 32"));
  return Block{count, minimum, width, packed, places};
}

Result<std::span<const uint32_t>> ColumnDecoder::Next() {
  STENO_TRY(const Block block, Read());
  BitReader bits(block.packed);
  for (uint32_t i = 0; i < block.count; ++i)
    values_[i] = block.minimum + static_cast<uint32_t>(bits.Get(block.width));
  for (const uint8_t place : block.places) {
    if (place >= block.count) return Fail(Error::Corrupt("column block: exception outside the block"));
    values_[place] += static_cast<uint32_t>(uint64_t{reader_.Varint<uint32_t>()} << block.width);
  }
  if (!reader_.ok()) return Fail(Error::Corrupt("column block: exceptions cut off"));
  return std::span<const uint32_t>(values_.data(), block.count);
}

Status ColumnDecoder::Skip() {
  STENO_TRY(const Block block, Read());
  for (size_t i = 0; i < block.places.size(); ++i) (void)reader_.Varint<uint32_t>();
  if (!reader_.ok()) return Fail(Error::Corrupt("column block: exceptions cut off"));
  return {};
}

}  // namespace steno
