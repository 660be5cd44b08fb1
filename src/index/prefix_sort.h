// Sorting of many small records by a 64-bit key: splits them by the highest bits in which their keys differ,
// until the pieces fit into a cache, and sorts those by comparing. Faster than either method alone on
// hundreds of thousands of records; takes as much memory again as the records.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace steno {
namespace prefix_sort {

inline constexpr unsigned kDigitBits = 9;
inline constexpr size_t kSmall = 512;

template <class Record, class KeyOf, class Less>
void SortPiece(std::span<Record> records, std::span<Record> other, KeyOf key_of, Less less) {
  uint64_t differing = 0;
  for (const Record& record : records) differing |= key_of(record) ^ key_of(records.front());
  if (records.size() <= kSmall || differing == 0) {
    std::sort(records.begin(), records.end(), less);
    return;
  }
  const auto width = static_cast<unsigned>(std::bit_width(differing));
  const unsigned shift = width > kDigitBits ? width - kDigitBits : 0;
  const uint64_t mask = (uint64_t{1} << (width - shift)) - 1;
  std::array<uint32_t, (size_t{1} << kDigitBits) + 1> places{};
  for (const Record& record : records) ++places[(key_of(record) >> shift & mask) + 1];
  for (size_t digit = 1; digit < places.size(); ++digit) places[digit] += places[digit - 1];
  auto next = places;
  for (const Record& record : records) other[next[key_of(record) >> shift & mask]++] = record;
  std::copy(other.begin(), other.end(), records.begin());
  for (size_t digit = 0; digit + 1 < places.size(); ++digit) {
    const size_t first = places[digit];
    const size_t count = places[digit + 1] - first;
    if (count > 1) SortPiece(records.subspan(first, count), other.subspan(first, count), key_of, less);
  }
}

}  // namespace prefix_sort

// key_of(record) -> uint64_t; less(left, right) is a total order in which lower keys come first.
template <class Record, class KeyOf, class Less>
void PrefixSort(std::vector<Record>& records, KeyOf key_of, Less less) {
  std::vector<Record> other(records.size() > prefix_sort::kSmall ? records.size() : 0);
  prefix_sort::SortPiece(std::span(records), std::span(other), key_of, less);
}

inline void PrefixSort(std::vector<uint64_t>& numbers) {
  PrefixSort(numbers, std::identity{}, std::less<>{});
}

}  // namespace steno
