// Stable radix sort (least significant digit first) of small records by an unsigned key of up to 64 bits.
// Takes as much memory again as the records; digits that all records share cost nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace steno {

// key_of(record) -> uint64_t, of which the lowest `key_bits` count.
template <class Record, class KeyOf>
void RadixSort(std::vector<Record>& records, unsigned key_bits, KeyOf key_of) {
  constexpr unsigned kDigitBits = 11;
  constexpr size_t kDigits = 1 << kDigitBits;
  constexpr size_t kSmall = 512;  // below, comparing is faster than counting
  if (records.size() < kSmall) {
    const uint64_t mask = key_bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << key_bits) - 1;
    std::stable_sort(records.begin(), records.end(), [&](const Record& left, const Record& right) {
      return (key_of(left) & mask) < (key_of(right) & mask);
    });
    return;
  }
  std::vector<Record> other(records.size());
  std::array<uint32_t, kDigits> places;
  for (unsigned shift = 0; shift < key_bits; shift += kDigitBits) {
    const uint64_t mask = (uint64_t{1} << std::min(kDigitBits, key_bits - shift)) - 1;
    places.fill(0);
    for (const Record& record : records) ++places[key_of(record) >> shift & mask];
    if (places[key_of(records.front()) >> shift & mask] == records.size()) continue;
    uint32_t next = 0;
    for (uint32_t& place : places) next += std::exchange(place, next);
    for (const Record& record : records) other[places[key_of(record) >> shift & mask]++] = record;
    records.swap(other);
  }
}

}  // namespace steno
