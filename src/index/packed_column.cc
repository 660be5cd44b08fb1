#include "index/packed_column.h"

#include <algorithm>
#include <bit>

#include "index/bit_stream.h"

namespace steno {
namespace {

constexpr unsigned kMaxWidth = 32;

// The width at which a block of `offsets` takes the fewest bits.
unsigned ChooseWidth(std::span<const uint32_t> offsets) {
  std::array<uint32_t, kMaxWidth + 1> of_width{};
  for (const uint32_t offset : offsets) ++of_width[static_cast<unsigned>(std::bit_width(offset))];
  unsigned best = kMaxWidth;
  size_t best_bits = SIZE_MAX;
  for (unsigned width = 0; width <= kMaxWidth; ++width) {
    size_t bits = offsets.size() * width;
    size_t exceptions = 0;
    for (unsigned wider = width + 1; wider <= kMaxWidth; ++wider) {
      const size_t varint_bytes = (wider - width + 6) / 7;
      bits += of_width[wider] * 8 * (1 + varint_bytes);
      exceptions += of_width[wider];
    }
    if (exceptions > UINT8_MAX || bits >= best_bits) continue;
    best = width;
    best_bits = bits;
  }
  return best;
}

void EncodeBlock(std::span<const uint32_t> values, Bytes& out) {
  const uint32_t minimum = *std::min_element(values.begin(), values.end());
  std::array<uint32_t, kColumnBlock> offsets;
  for (size_t i = 0; i < values.size(); ++i) offsets[i] = values[i] - minimum;
  const unsigned width = ChooseWidth({offsets.data(), values.size()});
  BitWriter bits;
  Bytes places;
  Bytes uppers;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t offset = offsets[i];
    bits.Put(offset & ((uint64_t{1} << width) - 1), width);
    if (offset >> width == 0) continue;
    places.push_back(static_cast<uint8_t>(i));
    AppendVarint(uppers, offset >> width);
  }
  AppendVarint(out, minimum);
  out.push_back(static_cast<uint8_t>(width));
  out.push_back(static_cast<uint8_t>(places.size()));
  for (const Bytes* part : {&std::as_const(bits.Finish()), &std::as_const(places), &std::as_const(uppers)}) {
    out.insert(out.end(), part->begin(), part->end());
  }
}

}  // namespace

Bytes EncodeColumn(std::span<const uint32_t> values) {
  Bytes out;
  for (size_t at = 0; at < values.size(); at += kColumnBlock) {
    EncodeBlock(values.subspan(at, std::min(kColumnBlock, values.size() - at)), out);
  }
  return out;
}

Result<std::span<const uint32_t>> ColumnDecoder::Next() {
  const auto count = std::min<uint32_t>(left_, kColumnBlock);
  if (count == 0) return std::span<const uint32_t>{};
  const auto minimum = reader_.Varint<uint32_t>();
  const auto width = reader_.Le<uint8_t>();
  const auto exceptions = reader_.Le<uint8_t>();
  const auto packed = reader_.Take((size_t{count} * width + 7) / 8);
  const auto places = reader_.Take(exceptions);
  if (!reader_.ok() || width > kMaxWidth)
    return Fail(Error::Corrupt("column block: cut off or width over 32"));
  BitReader bits(packed);
  for (uint32_t i = 0; i < count; ++i) values_[i] = minimum + static_cast<uint32_t>(bits.Get(width));
  for (const uint8_t place : places) {
    if (place >= count) return Fail(Error::Corrupt("column block: exception outside the block"));
    values_[place] += static_cast<uint32_t>(uint64_t{reader_.Varint<uint32_t>()} << width);
  }
  if (!reader_.ok()) return Fail(Error::Corrupt("column block: exceptions cut off"));
  left_ -= count;
  return std::span<const uint32_t>(values_.data(), count);
}

}  // namespace steno
