// Sorting of many small records by keys of any number of 64-bit words: splits records by the highest bits in
// which their current words differ, until a piece is small, and moves on to the next word only where words
// are equal.
//
// How records have their keys is told by an object `keys`:
//   keys.words                     how many words a key has
//   keys.Word(record, n)           the n-th word, of which Load() was called last
//   keys.Load(record, n)           called before the n-th word is asked for; not for the first one
// Stable. Recursion is as deep as there are words times 64, at most.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include "base/check.h"

namespace steno {
namespace radix_sort {

inline constexpr unsigned kMaxDigitBits = 9;
inline constexpr size_t kSmall = 16;  // from here down, insertion is faster than counting

template <class Record, class Keys>
class Sorter {
 public:
  explicit Sorter(const Keys& keys) : keys_(keys) {}

  // Sorts `count` records at `from`, equal in all words before `word`. The result is at `from`, or at `to` if
  // `move`; the other place is overwritten.
  void Sort(Record* from, Record* to, size_t count, unsigned word, bool move) const {
    if (count <= kSmall) {
      if (move) std::copy_n(from, count, to);
      Record* place = move ? to : from;
      if (Insert(place, count, word)) SortRuns(place, move ? from : to, count, word);
      return;
    }
    uint64_t differing = 0;
    const uint64_t some = keys_.Word(*from, word);
    for (size_t i = 1; i < count; ++i) differing |= keys_.Word(from[i], word) ^ some;
    if (differing == 0) return SortRun(from, to, count, word, move);
    // Parts of a few records each, if they spread evenly.
    const auto width = static_cast<unsigned>(std::bit_width(differing));
    const auto wanted = static_cast<unsigned>(std::bit_width(count)) - 2;
    SortByDigit(from, to, count, word, width, std::min({width, wanted, kMaxDigitBits}), move);
  }

 private:
  // True if some are equal.
  bool Insert(Record* records, size_t count, unsigned word) const {
    bool equal = false;
    for (size_t i = 1; i < count; ++i) {
      const Record record = records[i];
      const uint64_t key = keys_.Word(record, word);
      size_t at = i;
      for (; at > 0 && keys_.Word(records[at - 1], word) > key; --at) records[at] = records[at - 1];
      records[at] = record;
      equal |= at > 0 && keys_.Word(records[at - 1], word) == key;
    }
    return equal;
  }

  // By `bits` bits of the word below bit `width`, above which all records are equal.
  void SortByDigit(Record* from, Record* to, size_t count, unsigned word, unsigned width, unsigned bits,
                   bool move) const {
    const unsigned shift = width - bits;
    const size_t digits = size_t{1} << bits;
    const auto digit_of = [&](const Record& record) {
      return static_cast<size_t>(keys_.Word(record, word) >> shift) & (digits - 1);
    };
    std::array<uint32_t, size_t{1} << kMaxDigitBits> places;  // where the next record of a digit goes
    std::fill_n(places.begin(), digits, 0u);
    for (size_t i = 0; i < count; ++i) ++places[digit_of(from[i])];
    uint32_t sum = 0;
    for (size_t digit = 0; digit < digits; ++digit) sum += std::exchange(places[digit], sum);
    for (size_t i = 0; i < count; ++i) to[places[digit_of(from[i])]++] = from[i];
    size_t first = 0;
    for (size_t digit = 0; digit < digits; ++digit) {
      const size_t end = places[digit];
      if (end - first > 1) {
        Sort(to + first, from + first, end - first, word, !move);
      } else if (end > first && !move) {
        from[first] = to[first];
      }
      first = end;
    }
  }

  // Sorts runs of records at `place` whose words are equal by their next words.
  void SortRuns(Record* place, Record* other, size_t count, unsigned word) const {
    for (size_t first = 0; first < count;) {
      const uint64_t key = keys_.Word(place[first], word);
      size_t end = first + 1;
      while (end < count && keys_.Word(place[end], word) == key) ++end;
      if (end - first > 1) SortRun(place + first, other + first, end - first, word, false);
      first = end;
    }
  }
  void SortRun(Record* from, Record* to, size_t count, unsigned word, bool move) const {
    if (word + 1 == keys_.words) {
      if (move) std::copy_n(from, count, to);
      return;
    }
    for (size_t i = 0; i < count; ++i) keys_.Load(from[i], word + 1);
    Sort(from, to, count, word + 1, move);
  }

  const Keys& keys_;
};

struct NumberKeys {
  static constexpr unsigned words = 1;
  static uint64_t Word(uint64_t number, unsigned) { return number; }
  static void Load(uint64_t, unsigned) {}
};

}  // namespace radix_sort

// Overwrites `other`. REQUIRES: there is as much of it as of `records`.
template <class Record, class Keys>
void RadixSort(std::span<Record> records, std::span<Record> other, const Keys& keys) {
  STENO_CHECK(other.size() >= records.size());
  if (records.size() > 1)
    radix_sort::Sorter<Record, Keys>(keys).Sort(records.data(), other.data(), records.size(), 0, false);
}

// Numbers are their own keys.
inline void RadixSort(std::span<uint64_t> numbers, std::span<uint64_t> other) {
  RadixSort(numbers, other, radix_sort::NumberKeys{});
}

}  // namespace steno
