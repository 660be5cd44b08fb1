#include "index/flow_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace steno {

FlowSet::FlowSet(uint32_t flows, bool full) : size_(flows), words_((uint64_t{flows} + 63) / 64) {
  if (full) AddRange(0, flows);
}

void FlowSet::AddRange(uint32_t first, uint32_t end) {
  STENO_CHECK(end <= size_);
  while (first < end) {
    const uint32_t word = first / 64;
    const uint32_t word_end = std::min(end, (word + 1) * 64);
    const uint64_t upper = word_end % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (word_end % 64)) - 1;
    words_[word] |= upper & (~uint64_t{0} << (first % 64));
    first = word_end;
  }
}

bool FlowSet::MayHaveAny(uint32_t first, uint32_t end) const {
  const auto begin = words_.begin();
  return std::any_of(begin + first / 64, begin + (end + 63) / 64, [](uint64_t word) { return word != 0; });
}

bool FlowSet::Empty() const {
  return std::all_of(words_.begin(), words_.end(), [](uint64_t word) { return word == 0; });
}

uint32_t FlowSet::Count() const {
  uint32_t count = 0;
  for (const uint64_t word : words_) count += static_cast<uint32_t>(std::popcount(word));
  return count;
}

void FlowSet::And(const FlowSet& other) {
  STENO_CHECK(size_ == other.size_);
  for (size_t word = 0; word < words_.size(); ++word) words_[word] &= other.words_[word];
}

void FlowSet::Or(const FlowSet& other) {
  STENO_CHECK(size_ == other.size_);
  for (size_t word = 0; word < words_.size(); ++word) words_[word] |= other.words_[word];
}

void FlowSet::Invert() {
  for (uint64_t& word : words_) word = ~word;
  if (size_ % 64 != 0) words_.back() &= (uint64_t{1} << (size_ % 64)) - 1;
}

}  // namespace steno
