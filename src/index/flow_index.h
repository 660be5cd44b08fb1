// FlowIndex: what a query may ask of the index of one packet file, live or sealed.
//
// Flows are numbered 0..flow_count()-1. A term selects flows: `must` those of which every packet matches,
// `may` those of which some packet can match (must is a subset of may). Queries combine these sets and ask
// for the granules of the surviving flows. Thread-safe for reading.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "packet/term.h"
#include "storage/block_format.h"

namespace steno {

// A set of flow ids as a bitmap.
class FlowSet {
 public:
  explicit FlowSet(uint32_t flows = 0, bool full = false);

  [[nodiscard]] uint32_t size() const { return size_; }
  void Add(uint32_t flow) { words_[flow / 64] |= uint64_t{1} << (flow % 64); }
  void AddRange(uint32_t first, uint32_t end);
  // False if there is no flow of this range; of others in the same 64 it may say yes.
  [[nodiscard]] bool MayHaveAny(uint32_t first, uint32_t end) const;
  [[nodiscard]] bool Has(uint32_t flow) const { return (words_[flow / 64] >> (flow % 64) & 1) != 0; }
  [[nodiscard]] bool Empty() const;
  [[nodiscard]] uint32_t Count() const;
  void And(const FlowSet& other);
  void Or(const FlowSet& other);
  void Invert();
  // Calls visit(flow) in ascending order.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (uint32_t word = 0; word < words_.size(); ++word) {
      for (uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        visit(word * 64 + static_cast<uint32_t>(__builtin_ctzll(bits)));
      }
    }
  }

 private:
  uint32_t size_;
  std::vector<uint64_t> words_;
};

struct FlowMatch {
  FlowSet may;
  FlowSet must;
};

class FlowIndex {
 public:
  virtual ~FlowIndex() = default;

  [[nodiscard]] virtual uint32_t flow_count() const = 0;
  // The file's blocks in file order, with real packet times. Blocks marked kBlockUnindexed must be read
  // whole.
  [[nodiscard]] virtual std::span<const BlockEntry> blocks() const = 0;

  [[nodiscard]] Result<FlowMatch> Match(const Term& term) const { return MatchAmong(term, nullptr); }
  // The same for flows among `candidates`, if there are any; of all others the answer may say anything. For
  // conjunctions: of a column of all flows only what is near the candidates is decoded. Borrowed for the
  // call.
  [[nodiscard]] virtual Result<FlowMatch> MatchAmong(const Term& term, const FlowSet* candidates) const = 0;

  // The granules in which packets of these flows start, ascending, without duplicates.
  [[nodiscard]] virtual Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const = 0;

  // Offset inside the granule of the first packet header that starts there; kNoPacketInGranule if none does.
  [[nodiscard]] virtual uint16_t FirstPacket(uint32_t granule) const = 0;
};

}  // namespace steno
